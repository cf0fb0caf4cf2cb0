// `run` and `start --no-daemon`: a supervisor in the foreground, also as pid 1 of a container.
//
//   clusterctl run ── clusterd (guardian) ── clusterd (manager) ── workers
//        │ reaps every orphan that comes to it, gets the signals
//        └ one connection to the daemon: requests, events, and the output of all workers
//
// The daemon is one of our own (`start_attended`): it ends when we do. Output waits in the workers'
// pipes until we have taken it, and we take it as fast as stdout does, so nothing is lost: not
// before we are connected, not while a manager is replaced, not at the end.
//
// One loop over signals, the connection and the two outputs; nothing in it waits for anything else.
#pragma once

#include "cli/context.hpp"
#include "cli/foreground_rules.hpp"
#include "cli/paced_output.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/net/client.hpp"

#include <map>
#include <optional>
#include <string>

namespace cluster::cli {

struct ForegroundOptions {
    LogFormat format = LogFormat::raw;
    bool auto_exit = true;             ///< end when nothing is left that could run
    std::chrono::milliseconds grace{}; ///< for all apps together to stop, then SIGKILL
};

/// Blocks all signals that mean something to the foreground supervisor and returns the descriptor
/// (man 2 signalfd) that they are read from. Early, so that none is missed: pid 1 has no default
/// actions.
[[nodiscard]] ipc::UniqueFd hold_signals();

class Foreground {
public:
    /// `signals`: of `hold_signals`.
    Foreground(const ForegroundOptions& options, ipc::UniqueFd signals, Context& context);

    /// Starts the apps (specifications) and stays until they have ended or a signal ends them.
    /// Returns the exit code.
    int run(json apps);

private:
    /// What is under way. Each phase begins with a request and ends with its answer.
    enum class Phase {
        running,
        stopping, ///< told to: all apps are stopping
        judging,  ///< none is left: how have they ended?
        emptying, ///< what they have written last is on its way
        leaving,  ///< the daemon ends
        done,
    };
    enum class Asked { other, start, describe, stop, reload };

    std::optional<std::string> begin();
    bool connect_again();
    void subscribe();
    void take_up_again();

    void turn();
    void read_signals();
    void obey(int signal);
    void reap();
    void read_daemon();
    void write_output(PacedOutput& output, short ready);
    PacedOutput& error_output();
    [[nodiscard]] int time_left() const;
    [[nodiscard]] bool may_read() const;

    void post(Asked what, std::string_view method, const json& params);
    void hear(const json& message);
    void on_answer(Asked what, const json& message);
    void on_start_answered(const json& message);
    void on_described(const json& message);
    void print_lines(const json& params);
    void on_event(const json& params);

    void enter(Phase phase);
    void look();
    void begin_stop(const std::string& why);
    void leave_late();
    void wait_for_daemon();
    void say(const std::string& text, Level level = Level::info);

    const ForegroundOptions& options_;
    Context& context_;
    json apps_;
    std::optional<ipc::Client> client_;
    ipc::UniqueFd signals_;
    PacedOutput out_, err_;
    bool one_output_ = false; ///< stdout and stderr are the same file
    Pids pids_;
    Ends ends_;
    std::map<int, Asked> requests_; ///< not answered yet, by id
    Phase phase_ = Phase::running;
    bool started_ = false; ///< the daemon has every app
    bool start_failed_ = false;
    bool any_event_ = false;  ///< something was started at least
    bool look_again_ = false; ///< something has happened since we asked
    int code_ = 0;
    std::size_t name_width_ = 10;               ///< as `logs`
    std::optional<ipc::milliseconds> deadline_; ///< then we leave, whatever is still there
    std::optional<ipc::milliseconds> next_ping_;
};

} // namespace cluster::cli
