#include "cli/foreground.hpp"

#include "cli/daemon_starter.hpp"
#include "cli/process_view.hpp"
#include "ipc/base/home.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::milliseconds;
using namespace std::chrono_literals;

constexpr std::size_t kMostWaiting = 1U << 20U; ///< output; then the daemon is not read
constexpr milliseconds kLateAfter = 1s;         ///< SIGKILL, and what comes after it, take time too
constexpr milliseconds kPingPause = 5ms;
constexpr milliseconds kDaemonEnds = 2s;

bool same_file(ipc::System& system, int one, int other)
{
    const auto a = system.fstat(one);
    const auto b = system.fstat(other);
    return a && b && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/// What `nohup` or a script's background job ignores stays ignored.
bool is_ignored(int signal)
{
    struct sigaction now{};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

} // namespace

ipc::UniqueFd hold_signals()
{
    sigset_t all;
    ::sigemptyset(&all);
    for (const int signal : signals_known())
        if (!is_ignored(signal)) ::sigaddset(&all, signal);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    return ipc::UniqueFd{::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Foreground::Foreground(const ForegroundOptions& options, ipc::UniqueFd signals, Context& context)
    : options_{options}, context_{context}, signals_{std::move(signals)}, out_{STDOUT_FILENO},
      err_{STDERR_FILENO}, one_output_{same_file(context.system, STDOUT_FILENO, STDERR_FILENO)}
{
}

int Foreground::run(json apps)
{
    apps_ = std::move(apps);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1); // a manager whose guardian dies stays below us
    if (const auto why = begin()) return context_.fail(*why);
    post(Asked::start, "start",
         {{"apps", apps_}, {"environment", current_environment()}, {"existing", "restart"}});
    while (phase_ != Phase::done)
        turn();
    while (out_.waiting() + err_.waiting() > 0 && time_left() != 0)
        turn();
    if (out_.waiting() + err_.waiting() > 0) leave_late();
    wait_for_daemon();
    return code_;
}

/// A daemon of ours, and our subscriptions. Answers what is wrong.
std::optional<std::string> Foreground::begin()
{
    const std::string& home = context_.session.home();
    auto client = start_attended(home, context_.clock, Beginning::empty);
    if (!client) return client.error();
    client_ = std::move(*client);
    if (const auto pong = client_->call("ping", json::object()); !pong) return pong.error().message;
    subscribe();
    return {};
}

void Foreground::subscribe()
{
    post(Asked::other, "logs.follow", {{"take", true}});
    post(Asked::other, "events.follow", json::object());
}

/// The daemon was killed and comes back by itself, or both its processes were killed and it is
/// started again; or it was ended on purpose (`clusterctl kill`): false.
bool Foreground::connect_again()
{
    const std::string& home = context_.session.home();
    client_.reset();
    requests_.clear();
    if (auto client = cli::connect_again(home, context_.clock)) {
        client_ = std::move(client);
        return true;
    }
    if (::access(ipc::HomePaths{home}.socket.c_str(), F_OK) != 0) return false;
    auto client = start_attended(home, context_.clock, Beginning::restored);
    if (!client) say(client.error(), Level::error);
    if (!client || !client->call("ping", json::object())) return false;
    client_ = std::move(*client);
    return true;
}

/// Whatever was asked of the daemon before this one is asked again.
void Foreground::take_up_again()
{
    if (phase_ == Phase::leaving) return enter(Phase::done);
    if (!connect_again()) {
        if (phase_ == Phase::running) say("the daemon has ended");
        return enter(Phase::done);
    }
    subscribe();
    look();
    if (phase_ == Phase::stopping) begin_stop("");
    if (phase_ == Phase::emptying) enter(Phase::emptying);
}

// The loop.

void Foreground::turn()
{
    std::array<pollfd, 4> fds{{{signals_.get(), POLLIN, 0},
                               {may_read() ? client_->fd() : -1, POLLIN, 0},
                               {out_.waiting() > 0 ? out_.fd() : -1, POLLOUT, 0},
                               {err_.waiting() > 0 ? err_.fd() : -1, POLLOUT, 0}}};
    if (::poll(fds.data(), fds.size(), time_left()) < 0) return; // EINTR
    if (fds[0].revents != 0) read_signals();
    write_output(out_, fds[2].revents);
    write_output(err_, fds[3].revents);
    if (fds[1].revents != 0) read_daemon();
    const milliseconds now = context_.clock.now();
    if (next_ping_ && now >= *next_ping_) {
        next_ping_.reset();
        post(Asked::other, "ping", json::object());
    }
    if (deadline_ && now >= *deadline_ && phase_ != Phase::done) leave_late();
}

/// For poll(2): until something is due, -1 for ever.
int Foreground::time_left() const
{
    std::optional<milliseconds> due = deadline_;
    if (next_ping_) due = std::min(due.value_or(*next_ping_), *next_ping_);
    if (!due) return -1;
    return static_cast<int>(std::max(*due - context_.clock.now(), 0ms).count());
}

bool Foreground::may_read() const
{
    return client_ && phase_ != Phase::done && out_.waiting() < kMostWaiting &&
           err_.waiting() < kMostWaiting;
}

void Foreground::write_output(PacedOutput& output, short ready)
{
    if (ready == 0) return;
    output.write_some();
    if (output.closed_now()) say("nobody reads the output any more: it is dropped");
}

/// Where both are one file, lines of the two must not meet in the middle.
PacedOutput& Foreground::error_output()
{
    return one_output_ ? out_ : err_;
}

void Foreground::read_daemon()
{
    const auto read = client_->take([this](const json& message) { hear(message); });
    if (!read && phase_ != Phase::done) take_up_again();
}

// Signals.

void Foreground::read_signals()
{
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info)
        obey(static_cast<int>(info.ssi_signo));
}

void Foreground::obey(int signal)
{
    const char* known = ::sigabbrev_np(signal);
    const std::string name = known ? fmt::format("SIG{}", known) : std::to_string(signal);
    switch (wish_of(signal)) {
    case Wish::stop:
        return begin_stop(name);
    case Wish::reload:
        if (phase_ != Phase::running) return;
        say(name + ": reloading all");
        return post(Asked::reload, "reload", {{"targets", {"all"}}});
    case Wish::forward:
        return post(Asked::other, "send_signal", {{"targets", {"all"}}, {"signal", signal}});
    case Wish::reap:
        return reap();
    case Wish::nothing:
        return;
    }
}

/// Every child: the daemon, and whatever else has lost its parent.
void Foreground::reap()
{
    while (const auto ended = context_.system.peek_any()) {
        if (!*ended) return;
        const auto& [pid, status] = **ended;
        const auto is_it = [&](const auto& known) { return known.second == pid; };
        if (std::ranges::any_of(pids_, is_it)) ends_[pid] = status;
        (void)context_.system.wait(pid);
    }
}

// Messages.

void Foreground::post(Asked what, std::string_view method, const json& params)
{
    // Where the connection is broken, reading tells, and all that counts is asked again.
    if (!client_) return;
    if (const auto id = client_->post(method, params)) requests_[*id] = what;
}

void Foreground::hear(const json& message)
{
    const auto method = message.find("method");
    if (method != message.end()) {
        const json params = message.value("params", json::object());
        if (*method == "log") print_lines(params);
        if (*method == "event") on_event(params);
        return;
    }
    const auto request = requests_.extract(static_cast<int>(member_number(message, "id")));
    if (request) on_answer(request.mapped(), message);
}

void Foreground::on_answer(Asked what, const json& message)
{
    const bool failed = message.contains("error");
    switch (what) {
    case Asked::start:
        return on_start_answered(message);
    case Asked::describe:
        return on_described(message);
    case Asked::stop:
        // The first of several is enough: the answer of each comes when all are down.
        if (phase_ == Phase::stopping) enter(Phase::judging);
        return;
    case Asked::reload:
        if (failed) say("reload: " + member_text(message["error"], "message"), Level::error);
        return;
    case Asked::other:
        break;
    }
    const json result = message.value("result", json::object());
    if (phase_ == Phase::emptying && result.contains("output_waits")) {
        if (result["output_waits"] == false) return enter(Phase::leaving);
        next_ping_ = context_.clock.now() + kPingPause;
    }
    if (phase_ == Phase::leaving && result.contains("processes")) enter(Phase::done);
}

void Foreground::on_start_answered(const json& message)
{
    started_ = true;
    if (message.contains("error") && phase_ == Phase::running) {
        start_failed_ = true;
        for (const std::string& text : failures_of(message["error"]))
            say(text, Level::error);
    }
    look();
}

/// Asks what there is, unless the answer to that is on its way.
void Foreground::look()
{
    const bool asked = std::ranges::any_of(
        requests_, [](const auto& request) { return request.second == Asked::describe; });
    look_again_ = asked;
    if (!asked) post(Asked::describe, "describe", {{"targets", {"all"}}});
}

void Foreground::on_described(const json& message)
{
    // An error says that there is none.
    json processes = message.value("result", json::object()).value("processes", json::array());
    for (const json& process : processes)
        if (const auto pid = member_number(process, "pid"); pid != 0)
            pids_[member_number(process, "id")] = pid;
    if (std::exchange(look_again_, false)) return look();
    processes = with_ends(std::move(processes), pids_, ends_);
    if (phase_ == Phase::judging) {
        code_ = exit_code_of(processes);
        return enter(Phase::emptying);
    }
    if (phase_ != Phase::running) return;
    const bool starting = std::ranges::any_of(
        requests_, [](const auto& request) { return request.second == Asked::start; });
    if (!started_ && !starting) { // the daemon that was asked is dead, and may not have heard it
        const json missing = missing_apps(apps_, processes);
        started_ = missing.empty();
        if (!started_)
            return post(Asked::start, "start",
                        {{"apps", missing},
                         {"environment", current_environment()},
                         {"existing", "restart"}});
    }
    if (!started_ || !options_.auto_exit || any_left(processes)) return;
    code_ = start_failed_ && !any_event_ ? kFailed : exit_code_of(processes);
    enter(Phase::emptying);
}

void Foreground::print_lines(const json& params)
{
    const std::string name = params.value("name", std::string{});
    const bool error = member_text(params, "stream") == "err";
    const bool apart = error && options_.format != LogFormat::json;
    const Style& style = apart ? context_.err.style() : context_.out.style();
    name_width_ = std::max(name_width_, display_width(name));
    for (const json& line : params.value("lines", json::array())) {
        if (!line.is_string()) continue;
        (apart ? error_output() : out_)
            .add(output_line({.id = member_number(params, "id"),
                              .name = name,
                              .error = error,
                              .at = member_number(params, "at"),
                              .text = line.get_ref<const std::string&>()},
                             options_.format, name_width_, style));
    }
}

void Foreground::on_event(const json& params)
{
    any_event_ = true;
    if (const std::string note = note_of(params); !note.empty()) say(note);
    const std::string event = member_text(params, "event");
    if (phase_ == Phase::running && (event == "stopped" || event == "errored" || event == "delete"))
        look();
}

// From phase to phase.

void Foreground::enter(Phase phase)
{
    phase_ = phase;
    if (phase == Phase::judging) look();
    if (phase == Phase::emptying) next_ping_ = context_.clock.now();
    if (phase == Phase::leaving) post(Asked::other, "kill", json::object());
}

/// `why` is the signal's name; "": the daemon that was told is dead.
void Foreground::begin_stop(const std::string& why)
{
    const milliseconds now = context_.clock.now();
    const bool again = phase_ != Phase::running;
    milliseconds grace = options_.grace;
    if (!why.empty() && again) {
        say(why + " again: killing what is left");
        grace = 0ms;
    } else if (!why.empty()) {
        say(fmt::format("{}: stopping all, for {} at most", why, format_duration(grace.count())));
    } else if (deadline_) {
        grace = std::max(*deadline_ - kLateAfter - now, 0ms);
    }
    deadline_ = std::min(deadline_.value_or(milliseconds::max()), now + grace + kLateAfter);
    if (phase_ != Phase::running && phase_ != Phase::stopping) return; // nothing is left to stop
    phase_ = Phase::stopping;
    post(Asked::stop, "stop", {{"targets", {"all"}}, {"grace_ms", grace.count()}});
}

/// All of them were killed by now; what is left is a process that cannot be killed, a daemon that
/// does not answer, or output that nobody takes.
void Foreground::leave_late()
{
    const std::size_t left = out_.waiting() + err_.waiting();
    say(left == 0 ? "the time is over: leaving what has not ended"
                  : fmt::format("the time is over: {} bytes of output were not taken", left),
        Level::error);
    pollfd ready{error_output().fd(), POLLOUT, 0};
    if (left == 0 || !one_output_) // else it would stand behind them
        if (::poll(&ready, 1, 0) > 0) error_output().write_some();
    if (code_ == 0) code_ = kFailed;
    enter(Phase::done);
}

/// So that nothing of ours is left behind. As pid 1 nothing can be.
void Foreground::wait_for_daemon()
{
    client_.reset();
    const milliseconds now = context_.clock.now();
    const milliseconds end = std::min(now + kDaemonEnds, deadline_.value_or(now + kDaemonEnds));
    while (context_.clock.now() < end) {
        const auto ended = context_.system.peek_any();
        if (!ended) return; // ECHILD
        if (*ended)
            (void)context_.system.wait((*ended)->first);
        else
            ::poll(nullptr, 0, 2);
    }
}

void Foreground::say(const std::string& text, Level level)
{
    if (context_.silent && level == Level::info) return;
    if (options_.format == LogFormat::json)
        return out_.add(said_line(text, context_.clock.wall_ms()));
    error_output().add(message_line(level, text, context_.err.style()));
}

} // namespace cluster::cli
