// The guardian: the small process that outlives the manager. It holds the home's lock and the
// control socket, inherits every orphan (man 2 prctl, PR_SET_CHILD_SUBREAPER), starts the manager
// and starts it again when it dies. No JSON, no decisions about apps.
#pragma once

#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// The manager's descriptors, in this order from 3 on (0 to 2 are null, log, log).
inline constexpr int kControlFd = 3;  ///< to the guardian: its end tells either that the other died
inline constexpr int kListenerFd = 4; ///< the control socket, listening
inline constexpr int kLockFd = 5;     ///< keeps the home locked while either lives

struct GuardianOptions {
    ipc::HomePaths paths;
    bool foreground = false; ///< log to stderr, tell systemd (NOTIFY_SOCKET)
    int report_fd = -1;      ///< where to say "ready", "busy" or "error: …"; -1 nowhere
};

class Guardian {
public:
    Guardian(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher, Log& log,
             GuardianOptions options);

    /// Takes the lock and the socket and starts the manager. Errors: EWOULDBLOCK when another
    /// daemon has this home.
    ipc::Result<void> start();
    /// What the process shall exit with, once the loop has run out.
    [[nodiscard]] int exit_code() const { return exit_code_; }

private:
    ipc::Result<void> start_manager();
    void tell(std::string_view state);
    void watch_signals();
    void watch_control();
    void reap();
    void manager_died(const ipc::ExitStatus& status);
    void kill_the_rest();
    void finish(int code);

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Launcher& launcher_;
    Log& log_;
    GuardianOptions options_;
    ipc::UniqueFd lock_, listener_;
    std::optional<boost::asio::posix::stream_descriptor> control_;
    char message_ = 0;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer restart_timer_;
    pid_t manager_ = 0;
    int quick_deaths_ = 0;
    std::chrono::steady_clock::time_point manager_started_;
    bool stopping_ = false;
    int exit_code_ = 0;
};

/// Writes `text` and a newline to the descriptor that the starter of the daemon reads, if any.
void report(int fd, const std::string& text);

} // namespace cluster::supervisor
