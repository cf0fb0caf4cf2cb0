#include "supervisor/daemon/guardian.hpp"

#include "ipc/base/notify.hpp"
#include "ipc/net/server.hpp"
#include "supervisor/sys/process_table.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using ipc::fail;
using ipc::Result;

constexpr std::chrono::seconds kQuick{10}; ///< a manager that dies sooner died quickly
constexpr int kPatience = 5;               ///< quick deaths before restarts are spaced out
constexpr std::chrono::seconds kSpacing{1};

std::vector<std::string> own_environment()
{
    std::vector<std::string> environment;
    for (char** entry = environ; *entry; ++entry)
        environment.emplace_back(*entry);
    return environment;
}

} // namespace

void report(int fd, const std::string& text)
{
    if (fd < 0) return;
    const std::string line = text + "\n";
    // The reader may have given up: nothing to be done about it.
    [[maybe_unused]] const ssize_t size = ::write(fd, line.data(), line.size());
}

Guardian::Guardian(boost::asio::io_context& loop, ipc::System& system, Launcher& launcher, Log& log,
                   GuardianOptions options)
    : loop_{loop}, system_{system}, launcher_{launcher}, log_{log}, options_{std::move(options)},
      signals_{loop}, restart_timer_{loop}
{
}

Result<void> Guardian::start()
{
    const ipc::HomePaths& paths = options_.paths;
    auto lock = system_.open(paths.lock, O_RDWR | O_CREAT, 0600);
    if (!lock) return std::unexpected(lock.error());
    // Held through this open file by us and by the manager, and by nobody else: the kernel lets go
    // of it when both are dead, however they died.
    if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) return fail(errno, "lock " + paths.lock);
    lock_ = std::move(*lock);
    auto listener = ipc::listen_on(paths.socket);
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    const std::string pid = std::to_string(::getpid()) + "\n";
    auto file = system_.open(paths.pid, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file) return std::unexpected(file.error());
    if (auto written = system_.write(file->get(), pid.data(), pid.size()); !written)
        return fail(written.error().code, "write " + paths.pid);
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return fail(errno, "become subreaper");
    watch_signals();
    return start_manager();
}

Result<void> Guardian::start_manager()
{
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) < 0)
        return fail(errno, "socketpair");
    ipc::UniqueFd ours{pair[0]};
    const ipc::UniqueFd theirs{pair[1]};
    auto null = system_.open("/dev/null", O_RDONLY);
    if (!null) return std::unexpected(null.error());
    auto self = system_.readlink("/proc/self/exe");
    if (!self) return std::unexpected(self.error());

    LaunchPlan plan;
    plan.program = *self;
    plan.argv = {"clusterd", "--manager", "--home", options_.paths.home};
    if (options_.foreground) plan.argv.emplace_back("--foreground");
    plan.environment = own_environment();
    plan.cwd = "/";
    plan.fds = {null->get(),  STDERR_FILENO,   STDERR_FILENO,
                theirs.get(), listener_.get(), lock_.get()};
    auto launched = launcher_.launch(plan);
    if (!launched)
        return fail(launched.error().error, "start the manager: " + launched.error().text);
    manager_ = launched->pid;
    manager_started_ = std::chrono::steady_clock::now();
    control_.emplace(loop_, ours.release());
    watch_control();
    return {};
}

/// The manager says 'r' when it serves. Its death comes as SIGCHLD, not from here.
void Guardian::watch_control()
{
    control_->async_read_some(boost::asio::buffer(&message_, 1),
                              [this](error_code failure, std::size_t) {
                                  if (failure) return;
                                  if (message_ == 'r') tell("READY=1");
                                  watch_control();
                              });
}

/// systemd, when it started us (man 3 sd_notify). Whether it listens is its own affair.
void Guardian::tell(std::string_view state)
{
    const char* where = std::getenv("NOTIFY_SOCKET");
    if (auto told = ipc::notify(where ? where : "", state); !told) log_.warn(told.error().text());
}

void Guardian::watch_signals()
{
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP}) {
        error_code ignored;
        signals_.add(signal, ignored);
    }
    signals_.async_wait([this](error_code cancelled, int signal) {
        if (cancelled) return;
        if (signal == SIGCHLD) reap();
        if (signal == SIGTERM || signal == SIGINT || signal == SIGQUIT) {
            stopping_ = true;
            if (manager_ == 0) return finish(0);
            tell("STOPPING=1");
            (void)system_.kill(manager_, SIGTERM);
        }
        watch_signals();
    });
}

void Guardian::reap()
{
    while (true) {
        const auto ended = system_.wait_any();
        if (!ended || !*ended) return;
        const auto& [pid, status] = **ended;
        if (pid == manager_) manager_died(status);
    }
}

void Guardian::manager_died(const ipc::ExitStatus& status)
{
    manager_ = 0;
    control_.reset();
    if (status == ipc::ExitStatus{} || stopping_) return finish(0);
    log_.error(fmt::format("the manager ended (code {}, signal {}): starting it again", status.code,
                           status.signal));
    kill_the_rest();
    const bool quick = std::chrono::steady_clock::now() - manager_started_ < kQuick;
    quick_deaths_ = quick ? quick_deaths_ + 1 : 0;
    const auto again = [this] {
        if (auto started = start_manager(); !started) {
            log_.error(started.error().text());
            finish(1);
        }
    };
    if (quick_deaths_ <= kPatience) return again();
    restart_timer_.expires_after(kSpacing);
    restart_timer_.async_wait([again](error_code cancelled) {
        if (!cancelled) again();
    });
}

/// The new manager starts everything that is wanted; nothing of the old one's may run beside it.
void Guardian::kill_the_rest()
{
    for (int round = 0; round < 100; ++round) {
        std::vector<pid_t> kin{::getpid()};
        const auto table = read_process_table(system_);
        for (std::size_t at = 0; at < kin.size(); ++at) {
            for (const ProcessStat& process : table) {
                if (process.parent == kin[at] && process.state != 'Z') kin.push_back(process.pid);
            }
        }
        if (kin.size() == 1) break;
        for (std::size_t at = 1; at < kin.size(); ++at)
            (void)system_.kill(kin[at], SIGKILL);
        ::usleep(1000); // SIGKILL takes a moment; nothing else is to be done meanwhile
    }
    while (const auto ended = system_.wait_any()) {
        if (!*ended) break;
    }
}

void Guardian::finish(int code)
{
    exit_code_ = code;
    // In this order: where the socket is gone and the pid file is not, we were killed.
    (void)system_.unlink(options_.paths.pid);
    (void)system_.unlink(options_.paths.socket);
    loop_.stop();
}

} // namespace cluster::supervisor
