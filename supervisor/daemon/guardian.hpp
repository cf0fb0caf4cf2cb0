// The guardian: the small process that outlives the manager. It holds the home's lock and the
// control socket, keeps a duplicate of every descriptor that must outlive the manager, inherits
// every orphan (man 2 prctl, PR_SET_CHILD_SUBREAPER) and remembers how it ended, starts the manager
// and starts it again when it dies. No JSON, no decisions about apps. What it says and hears:
// guardian_messages.hpp; how it is replaced: take_over.hpp.
//
// An upgrade (guardian_upgrade.cpp) in three processes of one pid and a manager:
//   old guardian ──exec──▶ new guardian: tells the old manager to end, starts the new one
//                               │ does not come up (3 deaths, 10 s)
//                               └──exec──▶ old program again, with the reason
#pragma once

#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/daemon/guardian_channel.hpp"
#include "supervisor/daemon/service_manager.hpp"
#include "supervisor/daemon/take_over.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// The manager's descriptors, in this order from 3 on (0 to 2 are null, log, log).
inline constexpr int kControlFd = 3;  ///< to the guardian: its end tells either that the other died
inline constexpr int kListenerFd = 4; ///< the control socket, listening
inline constexpr int kLockFd = 5;     ///< keeps the home locked while either lives

/// A manager that ends with it has been told to (Verb::hand_over); 0 ends the guardian too.
inline constexpr int kHandOverExit = 75;

struct GuardianOptions {
    ipc::HomePaths paths;
    bool foreground = false;  ///< log to stderr, work with systemd if it started us
    bool begin_empty = false; ///< the first manager brings nothing back
};

class Guardian {
public:
    Guardian(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher, Log& log,
             GuardianOptions options);

    /// Takes the lock and the socket and starts the manager. Errors: EWOULDBLOCK when another
    /// daemon has this home.
    ipc::Result<void> start();
    /// Instead of `start`: goes on where the guardian before us was.
    void go_on(const TakeOver& all);
    /// What the process shall exit with, once the loop has run out.
    [[nodiscard]] int exit_code() const { return exit_code_; }

private:
    using Clock = std::chrono::steady_clock;

    ipc::Result<void> take_office();
    ipc::Result<void> start_manager();
    void start_manager_or_retry();
    void start_manager_later();
    void brief_manager();
    ipc::Result<void> open_channel(ipc::UniqueFd& socket);
    void take_channel(ipc::UniqueFd socket);
    void hear(const Message& message, std::vector<ipc::UniqueFd> fds);
    void tell_alive();
    void keep(ipc::UniqueFd fd);
    void drop(std::uint64_t inode);
    void tidy_later();
    void forget(const std::vector<EndedProcess>& ended);
    void manager_ready();
    void watch_signals();
    void reap();
    void remember(const EndedProcess& ended);
    void manager_died(const ipc::ExitStatus& status);
    bool died_too_often();
    void finish(int code);

    // Changing the program (guardian_upgrade.cpp).
    [[nodiscard]] TakeOver inventory();
    void begin_upgrade(const Upgrade& wanted);
    void accept_upgrade(const Upgrade& wanted);
    void replace_manager();
    void limit_upgrade();
    /// True: enough of it, nothing is to be started.
    bool new_manager_failed(const ipc::ExitStatus& status);
    void roll_back(const std::string& reason);
    void conclude_upgrade();

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Launcher& launcher_;
    Log& log_;
    GuardianOptions options_;
    ServiceManager service_;
    ipc::UniqueFd lock_, listener_;
    KeptFds kept_;
    ipc::UniqueFd journal_;
    std::deque<EndedProcess> ended_; ///< not acknowledged, oldest first
    std::shared_ptr<GuardianChannel> channel_;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer restart_timer_;
    std::chrono::milliseconds wait_; ///< before the next manager that is not started at once
    boost::asio::steady_timer tidy_timer_;
    bool tidy_armed_ = false;
    pid_t manager_ = 0;
    std::optional<Clock::time_point> ready_since_; ///< the manager
    int quick_deaths_ = 0;
    bool stopping_ = false;
    int exit_code_ = 0;

    bool replacing_ = false;         ///< the manager is the old version's, and told to end
    std::optional<Upgrade> upgrade_; ///< we are its new version, and the manager is not up yet
    std::optional<Upgrade> outcome_; ///< of the last one
    ipc::UniqueFd old_program_;
    boost::asio::steady_timer upgrade_timer_;
    int failed_starts_ = 0;
    std::string roll_back_reason_; ///< not empty: as soon as the manager is dead
};

/// Writes `text` and a newline to the descriptor that the starter of the daemon reads, if any.
void report(int fd, const std::string& text);

} // namespace cluster::supervisor
