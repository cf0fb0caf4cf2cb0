#include "supervisor/daemon/manager.hpp"

#include "ipc/base/clock.hpp"
#include "ipc/base/version.hpp"
#include "ipc/net/server.hpp"
#include "ipc/wire/units.hpp"
#include "supervisor/daemon/attended.hpp"
#include "supervisor/daemon/control.hpp"
#include "supervisor/daemon/guardian.hpp"
#include "supervisor/daemon/guardian_link.hpp"
#include "supervisor/daemon/journal.hpp"
#include "supervisor/daemon/loop.hpp"
#include "supervisor/daemon/metrics.hpp"
#include "supervisor/daemon/metrics_server.hpp"
#include "supervisor/daemon/service_manager.hpp"
#include "supervisor/daemon/settings.hpp"
#include "supervisor/daemon/store.hpp"
#include "supervisor/daemon/take_over.hpp"
#include "supervisor/daemon/upgrader.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/host.hpp"

#include <boost/asio/signal_set.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::milliseconds kLastAnswers{20}; ///< to get out
constexpr std::chrono::seconds kNextAttempt{1};       ///< to become the guardian

/// Memory of this home, and of no other on this machine; "" when it cannot be told.
std::string memory_name(ipc::System& system)
{
    const auto lock = system.fstat(kLockFd);
    if (!lock) return {};
    return fmt::format("/clusterd-{}-{:x}-{:x}", ::geteuid(), lock->st_dev, lock->st_ino);
}

/// The same for a journal: of this home, and not of one that was removed, whose inode ours has now.
std::string memory_journal(ipc::System& system)
{
    const auto lock = system.fstat(kLockFd);
    if (!lock) return {};
    return fmt::format("/dev/shm{}-{:x}{:08x}-journal", memory_name(system), lock->st_mtim.tv_sec,
                       lock->st_mtim.tv_nsec);
}

/// Everything the manager is made of, in the order in which it is built and torn down.
class Manager {
public:
    Manager(boost::asio::io_context& loop, ipc::HomePaths paths, bool foreground);
    int run(bool begin_empty);

private:
    GuardianLink::Calls calls_of_guardian();
    void end_with_guardian();
    void tell_watchdog(std::chrono::microseconds limit);
    void watch_signals();
    void watch_held_calls();
    void use_settings();
    void quit();
    void leave();
    void end_after_last_answers(std::function<void()> end);
    [[noreturn]] void hand_over();
    void guardian_gone();
    void take_over();

    boost::asio::io_context& loop_;
    ipc::HomePaths paths_;
    bool foreground_;
    ipc::LinuxSystem system_;
    LinuxLauncher launcher_;
    ipc::SystemClock clock_;
    std::unique_ptr<Log> log_;
    GuardianLink link_;
    LoopRelief relief_{loop_};
    std::set<std::uint64_t> held_at_home_; ///< calls, by HeldCall::number
    Supervisor supervisor_;
    Store store_;
    Journal journal_;
    Upgrader upgrader_;
    SettingsFile settings_;
    MetricsServer metrics_;
    Control control_;
    ipc::Server server_;
    boost::asio::signal_set signals_{loop_};
    boost::asio::steady_timer quit_timer_{loop_};
    boost::asio::steady_timer take_over_timer_{loop_};
    boost::asio::steady_timer watchdog_timer_{loop_};
    ServiceSettings service_; ///< systemd's, when it has started our guardian
    bool ending_ = false;
};

Manager::Manager(boost::asio::io_context& loop, ipc::HomePaths paths, bool foreground)
    : loop_{loop}, paths_{std::move(paths)}, foreground_{foreground},
      log_{Log::open(foreground ? "-" : paths_.log, "manager")},
      link_{loop_, ipc::UniqueFd{kControlFd}, *log_},
      supervisor_{Surroundings{.loop = loop_,
                               .system = system_,
                               .launcher = launcher_,
                               .keeper = link_,
                               .clock = clock_,
                               .log = *log_,
                               .paths = paths_,
                               .reapers = {::getppid()},
                               .own_cgroup = ::getenv("CLUSTER_OWN_CGROUP") != nullptr,
                               .relief = &relief_}},
      store_{loop_, system_, *log_, paths_.state},
      journal_{loop_, supervisor_, link_, *log_, paths_.journal},
      upgrader_{loop_, system_, launcher_, link_, *log_},
      settings_{system_, paths_.settings, [](const char* name) { return ::getenv(name); }},
      metrics_{loop_, *log_,
               [this](double waited_s) {
                   DaemonFigures figures = control_.figures();
                   figures.clients = server_.clients();
                   return scrape(supervisor_, std::move(figures), waited_s);
               }},
      control_{supervisor_, loop_,     store_,
               journal_,    upgrader_, settings_,
               metrics_,    *log_,     {.quit = [this] { quit(); }, .leave = [this] { leave(); }}},
      server_{loop_, ipc::UniqueFd{kListenerFd},
              ipc::Greeting{.version = ipc::version(),
                            .pid = ::getpid(),
                            .guardian_pid = ::getppid(),
                            .home = paths_.home},
              [this](const std::shared_ptr<ipc::Session>& session, ipc::Request request) {
                  control_.on_request(session, std::move(request));
              }}
{
    system_.keep_spare();
    if (foreground_) service_ = service_settings(::getppid());
    // The launcher hands descriptors over without close-on-exec; workers must not get these.
    for (const int fd : {kControlFd, kListenerFd, kLockFd})
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int Manager::run(bool begin_empty)
{
    raise_open_file_limit();
    supervisor_.logs().set_stage_name(memory_name(system_));
    journal_.set_memory_path(memory_journal(system_));
    log_->info(fmt::format("clusterd {} serves {}", ipc::version(), ::getpid()));
    watch_signals();
    watch_held_calls();
    if (!service_.notify_socket.empty()) end_with_guardian();
    if (attendant() != 0) control_.attend();
    auto handed = link_.receive();
    if (!handed) {
        log_->error(handed.error().text());
        return 1;
    }
    if (handed->upgrade) upgrader_.concluded(*handed->upgrade);
    if (begin_empty)
        control_.begin_empty();
    else
        control_.restore(std::move(*handed));
    link_.start(calls_of_guardian());
    use_settings();
    supervisor_.rotation().begin();
    server_.start();
    link_.tell_ready();
    if (service_.watchdog.count() > 0) tell_watchdog(service_.watchdog);
    // As after every other end, and without caring who outlives whom: the kernel tidies up.
    relief_.run_loop([] { ::_exit(0); });
}

/// Nothing of ours waits for a disk that does not answer, our own log neither.
void Manager::watch_held_calls()
{
    const auto home = system_.fstat(kLockFd);
    const std::uint64_t device = home && !foreground_ ? home->st_dev : 0;
    relief_.set_calls(
        [this, device](const HeldCall& call) {
            if (call.device == device && device != 0) held_at_home_.insert(call.number);
            log_->hold(!held_at_home_.empty());
            supervisor_.on_held(call);
        },
        [this](std::uint64_t call) {
            held_at_home_.erase(call);
            log_->hold(!held_at_home_.empty());
            supervisor_.logs().on_back(call);
        });
    supervisor_.logs().set_relief(relief_);
}

/// As they are now, and whenever they are changed.
void Manager::use_settings()
{
    for (const std::string& fault : settings_.faults())
        log_->warn("settings: " + fault);
    const auto use = [this](const Settings& settings) {
        metrics_.apply(settings.metrics);
        supervisor_.rotation().set_cap(settings.logs_max_total);
    };
    use(settings_.now());
    settings_.on_change(use);
}

GuardianLink::Calls Manager::calls_of_guardian()
{
    return {.on_ended = [this](const EndedProcess& ended) { control_.on_ended(ended); },
            .on_guardian_gone = [this] { guardian_gone(); },
            .on_hand_over = [this] { hand_over(); },
            .on_outcome = [this](const Upgrade& outcome) { upgrader_.concluded(outcome); }};
}

/// For systemd the guardian is the service: when it is dead, another one is started. That one finds
/// everything in the journal, but not before we are gone, also if we are the one that hangs.
void Manager::end_with_guardian()
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != link_.guardian()) ::_exit(1); // it has died before that
}

/// Three times within systemd's limit, through the guardian: so both loops turn.
void Manager::tell_watchdog(std::chrono::microseconds limit)
{
    link_.tell_alive();
    watchdog_timer_.expires_after(limit / 3);
    watchdog_timer_.async_wait([this, limit](error_code cancelled) {
        if (!cancelled) tell_watchdog(limit);
    });
}

void Manager::watch_signals()
{
    for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR2}) {
        error_code ignored;
        signals_.add(signal, ignored);
    }
    signals_.async_wait([this](error_code cancelled, int signal) {
        if (cancelled) return;
        if (signal == SIGUSR2) {
            log_->info("SIGUSR2: opening the log files again");
            supervisor_.logs().reopen_all();
        } else if (signal != SIGHUP) {
            log_->info("told to stop: stopping everything");
            control_.stop_all([this] { quit(); });
        }
        watch_signals();
    });
}

/// How much all logs together may have.
void Manager::quit()
{
    end_after_last_answers([this] { loop_.stop(); });
}

/// The workers stay: nothing of ours may end them, or what they use, on its way out.
void Manager::leave()
{
    link_.let_go();
    end_after_last_answers([] { ::_exit(0); });
}

void Manager::end_after_last_answers(std::function<void()> end)
{
    ending_ = true;
    metrics_.stop();
    server_.stop_accepting();
    quit_timer_.expires_after(kLastAnswers);
    quit_timer_.async_wait([this, end = std::move(end)](error_code) {
        supervisor_.shipping().flush();
        end();
    });
}

/// Another version serves from now on. Ends as if killed, so that there is one way only.
void Manager::hand_over()
{
    journal_.flush();
    link_.flush();
    supervisor_.shipping().flush();
    ::_exit(kHandOverExit);
}

/// Workers go on, and orphans come to us from now on.
void Manager::guardian_gone()
{
    if (!service_.notify_socket.empty()) { // SIGKILL is on its way
        journal_.flush();
        ::_exit(1);
    }
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    supervisor_.set_reapers({::getpid()});
    if (ending_) return;
    log_->error("the guardian is gone: becoming the guardian");
    upgrader_.guardian_gone();
    take_over();
}

/// Becomes the guardian in this process: our children stay children, and a new manager takes over
/// what we do. Until that works we carry on.
void Manager::take_over()
{
    journal_.flush();
    TakeOver all;
    all.lock = kLockFd;
    all.listener = kListenerFd;
    all.journal = link_.journal();
    all.kept = link_.kept_fds();
    all.ended.assign(link_.unacknowledged().begin(), link_.unacknowledged().end());
    all.outcome = upgrader_.outcome();
    const ipc::Error why = become_guardian("/proc/self/exe", -1, paths_.home, foreground_, all);
    log_->error("become the guardian: " + why.text());
    take_over_timer_.expires_after(kNextAttempt);
    take_over_timer_.async_wait([this](error_code cancelled) {
        if (!cancelled && !ending_) take_over();
    });
}

/// The next one may, and the guardian will try.
int cannot_begin(const std::string& why)
{
    std::fprintf(stderr, "clusterd: the manager cannot begin: %s\n", why.c_str());
    return 1;
}

} // namespace

int run_manager(const ipc::HomePaths& paths, bool foreground, bool begin_empty)
{
    ipc::LinuxSystem system;
    const auto loop = make_loop(system);
    if (!loop) return cannot_begin(loop.error().text());
    try {
        return Manager{**loop, paths, foreground}.run(begin_empty);
    } catch (const boost::system::system_error& error) {
        return cannot_begin(error.what());
    }
}

} // namespace cluster::supervisor
