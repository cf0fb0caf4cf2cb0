#include "cli/monit.hpp"

#include "cli/monit_keys.hpp"
#include "cli/monit_layout.hpp"
#include "cli/monit_view.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kFramePause = 50ms; ///< an app that prints without end is no film
constexpr int kReadsPerFrame = 8;          ///< then the daemon drops lines, and says how many
constexpr int kMostEmptyWakes = 100;
constexpr int kFromSignal = 128;

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

sigset_t known_signals()
{
    sigset_t all;
    ::sigemptyset(&all);
    for (const int signal : kSignals)
        ::sigaddset(&all, signal);
    return all;
}

} // namespace

ipc::UniqueFd hold_monit_signals()
{
    const sigset_t all = known_signals();
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    return ipc::UniqueFd{::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Monit::Monit(std::unique_ptr<Terminal> terminal, ipc::UniqueFd signals, Context& context)
    : terminal_{std::move(terminal)}, signals_{std::move(signals)}, context_{context},
      link_{model_, context}
{
    model_.utf8 = terminal_->utf8();
    model_.link_text = "connecting to the daemon";
}

int Monit::run()
{
    while (!done_) {
        dirty_ = link_.tick() || dirty_;
        draw_when_due();
        turn();
    }
    terminal_.reset();
    return code_;
}

void Monit::turn()
{
    const bool may_read = reads_ < kReadsPerFrame;
    std::array<pollfd, 3> fds{{{signals_.get(), POLLIN, 0},
                               {STDIN_FILENO, POLLIN, 0},
                               {may_read ? link_.fd() : -1, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), time_left()) < 0) return; // EINTR
    if (fds[0].revents != 0) read_signals();
    if ((fds[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return quit(kFromSignal + SIGHUP);
    if (fds[1].revents != 0) read_keys();
    if (fds[2].revents != 0) {
        ++reads_;
        dirty_ = link_.read() || dirty_;
    }
}

int Monit::time_left() const
{
    if (!dirty_ && reads_ < kReadsPerFrame) return link_.time_left();
    const milliseconds left = last_frame_ + kFramePause - context_.clock.now();
    return std::min(static_cast<int>(std::max(left, 0ms).count()), link_.time_left());
}

void Monit::draw_when_due()
{
    const milliseconds now = context_.clock.now();
    if (now < last_frame_ + kFramePause) return;
    reads_ = 0;
    if (!dirty_) return;
    // A terminal that takes nothing (Ctrl-S) must not keep us from hearing signals.
    pollfd writable{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
    last_frame_ = now;
    if (::poll(&writable, 1, 0) == 0) return;
    model_.now_ms = context_.clock.wall_ms();
    settle(model_, terminal_->size());
    terminal_->put(draw_monit(model_, terminal_->size()));
    dirty_ = false;
}

void Monit::read_keys()
{
    const auto keys = terminal_->keys();
    empty_wakes_ = keys.empty() ? empty_wakes_ + 1 : 0;
    if (empty_wakes_ > kMostEmptyWakes) return quit(kFromSignal + SIGHUP);
    for (const Key& key : keys) {
        const MonitIntent intent = press(model_, key, terminal_->size());
        if (intent.kind == MonitIntent::Kind::quit) return quit(kDone);
        if (intent.kind == MonitIntent::Kind::request) link_.ask(intent);
    }
    dirty_ = true;
    last_frame_ = milliseconds{0}; // who types sees it at once
}

void Monit::read_signals()
{
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info)
        obey(static_cast<int>(info.ssi_signo));
}

void Monit::obey(int signal)
{
    dirty_ = true;
    switch (signal) {
    case SIGINT:
        return quit(kDone);
    case SIGWINCH:
        return terminal_->resize();
    case SIGTSTP:
        return suspend();
    case SIGCONT: // somebody else may have used the terminal
        return terminal_->resume();
    default:
        return quit(kFromSignal + signal);
    }
}

/// As any program does that Ctrl-Z stops, with the terminal as it was before.
void Monit::suspend()
{
    terminal_->leave();
    sigset_t stop;
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGTSTP);
    std::signal(SIGTSTP, SIG_DFL);
    std::raise(SIGTSTP);
    ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr); // stops here, until SIGCONT
    ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    terminal_->resume();
}

void Monit::quit(int code)
{
    code_ = code;
    done_ = true;
}

} // namespace cluster::cli
