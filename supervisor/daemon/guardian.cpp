#include "supervisor/daemon/guardian.hpp"

#include "ipc/base/version.hpp"
#include "ipc/net/server.hpp"
#include "supervisor/daemon/attended.hpp"
#include "supervisor/sys/fd_passing.hpp"
#include "supervisor/sys/host.hpp"
#include "supervisor/sys/process_table.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <span>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using ipc::fail;
using ipc::Result;

constexpr std::chrono::milliseconds kQuick{100};       ///< ready for less: died as if it never was
constexpr int kPatience = 5;                           ///< such deaths in a row before we wait
constexpr std::chrono::milliseconds kShortestWait{40}; ///< doubled with each further one
constexpr std::chrono::milliseconds kLongestWait{1280};
constexpr int kNextAttemptMs = 100;
constexpr std::chrono::milliseconds kTidyAfter{200};
constexpr std::size_t kMostEnded = 65536; ///< then the oldest is forgotten

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
      service_{loop, log, options_.foreground ? service_settings(::getpid()) : ServiceSettings{}},
      signals_{loop}, restart_timer_{loop}, wait_{kShortestWait}, tidy_timer_{loop},
      upgrade_timer_{loop}
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
    // What one of us who was killed had stored.
    for (ipc::UniqueFd& fd : take_passed_fds(service_.settings().passed_fds))
        kept_.add(std::move(fd));
    if (auto ours = take_office(); !ours) return ours;
    return start_manager();
}

void Guardian::go_on(const TakeOver& all)
{
    lock_.reset(all.lock);
    listener_.reset(all.listener);
    journal_.reset(all.journal);
    old_program_.reset(all.program);
    for (const int fd : all.kept)
        kept_.add(ipc::UniqueFd{fd});
    ended_.assign(all.ended.begin(), all.ended.end());
    outcome_ = all.outcome;
    if (all.upgrade) accept_upgrade(*all.upgrade);
    // A full disk is no reason to let go of everything.
    if (auto ours = take_office(); !ours) log_.error(ours.error().text());
    let_signals_in();
    if (all.channel >= 0) {
        manager_ = all.manager;
        take_channel(ipc::UniqueFd{all.channel});
        replace_manager();
    } else {
        start_manager_or_retry();
    }
    reap(); // who ended before we had a handler
}

/// What makes us the guardian, whoever we were. Errors: of the pid file alone.
Result<void> Guardian::take_office()
{
    raise_open_file_limit(); // what is kept has a number here, and the manager inherits the limit
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    watch_signals();
    end_with(attendant());
    const std::string pid = std::to_string(::getpid()) + "\n";
    const std::string& path = options_.paths.pid;
    auto file = system_.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file) return std::unexpected(file.error());
    if (auto written = system_.write(file->get(), pid.data(), pid.size()); !written)
        return fail(written.error().code, "write " + path);
    return {};
}

// The manager.

Result<void> Guardian::start_manager()
{
    auto pair = make_message_pair();
    if (!pair) return std::unexpected(pair.error());
    auto& [ours, theirs] = *pair;
    auto null = system_.open("/dev/null", O_RDONLY);
    if (!null) return std::unexpected(null.error());

    LaunchPlan plan;
    // Of our own version, also when the file at its path is another one by now.
    plan.program = "/proc/self/exe";
    plan.argv = {"clusterd", "--manager", "--home", options_.paths.home};
    if (options_.foreground) plan.argv.emplace_back("--foreground");
    if (options_.begin_empty) plan.argv.emplace_back("--no-autorestore");
    plan.environment = own_environment();
    plan.cwd = "/";
    plan.fds = {null->get(),  STDOUT_FILENO,   STDERR_FILENO,
                theirs.get(), listener_.get(), lock_.get()};
    if (auto heard = open_channel(ours); !heard) return heard;
    auto launched = launcher_.launch(plan);
    // Its text has the reason; the code would be mistaken for ours.
    if (!launched) return fail(std::error_code{}, "start the manager: " + launched.error().text);
    manager_ = launched->pid;
    ready_since_.reset();
    brief_manager();
    return {};
}

void Guardian::start_manager_or_retry()
{
    if (auto started = start_manager(); !started) {
        log_.error(started.error().text());
        start_manager_later();
    }
}

void Guardian::start_manager_later()
{
    restart_timer_.expires_after(wait_);
    wait_ = std::min(2 * wait_, kLongestWait);
    restart_timer_.async_wait([this](error_code cancelled) {
        if (!cancelled) start_manager_or_retry();
    });
}

Result<void> Guardian::open_channel(ipc::UniqueFd& socket)
{
    channel_ = std::make_shared<GuardianChannel>(
        loop_, log_, [this](const Message& message, std::vector<ipc::UniqueFd> fds) {
            hear(message, std::move(fds));
        });
    return channel_->start(socket);
}

/// Of a manager that lives: until it can be heard there is nothing that we could do for it.
void Guardian::take_channel(ipc::UniqueFd socket)
{
    for (auto heard = open_channel(socket); !heard; heard = open_channel(socket)) {
        log_.error(heard.error().text());
        ::poll(nullptr, 0, kNextAttemptMs);
    }
}

/// All that a manager needs to go on where the one before was.
void Guardian::brief_manager()
{
    std::vector<EndedProcess> ended;
    for (const EndedProcess& process : ended_) {
        ended.push_back(process);
        if (ended.size() == kMaxPerMessage || &process == &ended_.back())
            channel_->send(encode_ended(Verb::ended, std::exchange(ended, {})));
    }
    std::vector<int> fds;
    for (const auto& [inode, fd] : kept_.rest()) {
        fds.push_back(fd.get());
        if (fds.size() == kMaxFdsPerMessage || inode == kept_.rest().rbegin()->first)
            channel_->send(encode(Verb::keep), std::exchange(fds, {}));
    }
    if (journal_) channel_->send(encode(Verb::journal), {journal_.get()});
    // One that waits for this manager is concluded when it serves.
    if (outcome_ && outcome_->since_ms == 0)
        channel_->send(encode_upgrade(Verb::outcome, *outcome_));
    channel_->send(encode(Verb::complete));
}

void Guardian::hear(const Message& message, std::vector<ipc::UniqueFd> fds)
{
    if (message.verb == Verb::keep)
        for (ipc::UniqueFd& fd : fds)
            keep(std::move(fd));
    if (message.verb == Verb::drop)
        for (const std::uint64_t inode : message.inodes)
            drop(inode);
    if (message.verb == Verb::alive) tell_alive();
    if (message.verb == Verb::journal && !fds.empty()) journal_ = std::move(fds.front());
    if (message.verb == Verb::acknowledge) forget(message.ended);
    if (message.verb == Verb::ready) manager_ready();
    if (message.verb == Verb::upgrade) begin_upgrade(message.upgrade);
    tidy_later();
}

/// A stop takes as long as the apps may: each sign of life gives it more time.
void Guardian::tell_alive()
{
    const auto watchdog = service_.settings().watchdog.count();
    service_.tell(stopping_ ? fmt::format("WATCHDOG=1\nEXTEND_TIMEOUT_USEC={}", watchdog)
                            : "WATCHDOG=1");
}

void Guardian::keep(ipc::UniqueFd fd)
{
    service_.store(fd.get(), kept_.rest().size());
    kept_.add(std::move(fd));
}

void Guardian::drop(std::uint64_t inode)
{
    (void)kept_.take(inode);
    service_.remove(inode);
}

/// Gives memory back that was needed for what has just happened.
void Guardian::tidy_later()
{
    if (std::exchange(tidy_armed_, true)) return;
    tidy_timer_.expires_after(kTidyAfter);
    tidy_timer_.async_wait([this](error_code cancelled) {
        tidy_armed_ = false;
        if (!cancelled) release_idle_memory();
    });
}

void Guardian::forget(const std::vector<EndedProcess>& ended)
{
    for (const EndedProcess& process : ended) {
        const auto at = std::ranges::find_if(
            ended_, [&](const EndedProcess& one) { return one.same_process(process); });
        if (at != ended_.end()) ended_.erase(at);
    }
}

void Guardian::manager_ready()
{
    ready_since_ = Clock::now();
    options_.begin_empty = false; // what has been started since is brought back
    conclude_upgrade();
    service_.tell(fmt::format("READY=1\nMAINPID={}\nWATCHDOG=1\nSTATUS=clusterd {} serves {}",
                              ::getpid(), ipc::version(), options_.paths.home));
    if (stopping_) (void)system_.kill(manager_, SIGTERM); // the one that was told to stop is dead
}

void Guardian::manager_died(const ipc::ExitStatus& status)
{
    manager_ = 0;
    channel_->read_all(); // what it has said before is as good as if it lived
    channel_->close();
    if (status == ipc::ExitStatus{}) return finish(0);
    if (std::exchange(replacing_, false)) return start_manager_or_retry();
    log_.error(fmt::format("the manager ended (code {}, signal {}): starting it again", status.code,
                           status.signal));
    service_.tell("STATUS=The manager ended and is started again");
    if (upgrade_ && new_manager_failed(status)) return;
    if (died_too_often()) return start_manager_later();
    start_manager_or_retry();
}

bool Guardian::died_too_often()
{
    const bool quick = !ready_since_ || Clock::now() - *ready_since_ < kQuick;
    quick_deaths_ = quick ? quick_deaths_ + 1 : 0;
    if (!quick) wait_ = kShortestWait;
    return quick_deaths_ > kPatience;
}

// Everybody else.

void Guardian::watch_signals()
{
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR2}) {
        error_code ignored;
        signals_.add(signal, ignored);
    }
    signals_.async_wait([this](error_code cancelled, int signal) {
        if (cancelled) return;
        if (signal == SIGCHLD) reap();
        // Log files shall be opened again; one that is not ready yet is about to open them.
        if (signal == SIGUSR2 && manager_ != 0 && ready_since_)
            (void)system_.kill(manager_, SIGUSR2);
        if (signal == SIGTERM || signal == SIGINT || signal == SIGQUIT) {
            stopping_ = true;
            if (manager_ == 0) return finish(0);
            service_.tell("STOPPING=1\nSTATUS=Stopping everything in order");
            (void)system_.kill(manager_, SIGTERM);
        }
        watch_signals();
    });
}

void Guardian::reap()
{
    std::optional<ipc::ExitStatus> of_manager;
    while (true) {
        const auto ended = system_.peek_any();
        if (!ended || !*ended) break;
        const auto& [pid, status] = **ended;
        if (pid != manager_) {
            // Told before it is reaped: if we are killed in between, it has not gone unseen.
            const auto stat = read_stat(system_, pid);
            remember({.pid = pid, .start_time = stat ? stat->start_time : 0, .status = status});
        }
        (void)system_.wait(pid);
        if (pid == manager_) of_manager = status;
    }
    // Last: its children that had ended before it are ours since, and the next manager is told.
    if (of_manager) manager_died(*of_manager);
}

void Guardian::remember(const EndedProcess& ended)
{
    if (ended_.size() == kMostEnded) ended_.pop_front();
    ended_.push_back(ended);
    if (manager_ != 0) channel_->send(encode_ended(Verb::ended, {&ended, 1}));
}

void Guardian::finish(int code)
{
    exit_code_ = code;
    // In this order: where the socket is gone and the pid file is not, we were killed.
    (void)system_.unlink(options_.paths.pid);
    (void)system_.unlink(options_.paths.socket);
    service_.finish();
    loop_.stop();
}

} // namespace cluster::supervisor
