#include "supervisor/engine/loop_relief.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <system_error>
#include <thread>

namespace cluster::supervisor {
namespace {

constexpr long kTickNs = 20'000'000; ///< a call that two looks in a row find does not come back

/// Of a file or of the folder that a path leads into. Asks no server: what is known has to do.
std::uint64_t device_of(int fd, const std::string& path)
{
    const auto slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    struct statx about{};
    const int failed =
        fd >= 0 ? ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &about)
                : ::statx(AT_FDCWD, folder.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &about);
    return failed != 0 ? 0 : gnu_dev_makedev(about.stx_dev_major, about.stx_dev_minor);
}

} // namespace

void LoopRelief::set_calls(std::function<void(const HeldCall&)> held,
                           std::function<void(std::uint64_t number)> back)
{
    held_ = std::move(held);
    back_ = std::move(back);
}

void LoopRelief::run_loop(std::function<void()> end)
{
    end_ = std::move(end);
    ::pthread_sigmask(SIG_SETMASK, nullptr, &signals_);
    live(true);
}

/// All that a thread of this does. Its shift stays where it is: others look at it.
void LoopRelief::live(bool has_loop)
{
    Shift shift;
    if (has_loop) shift_ = &shift;
    sigset_t all;
    ::sigfillset(&all);
    for (;;) {
        if (has_loop) work(shift);
        // Signals are for whoever has the loop.
        ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
        has_loop = stand_by(shift);
    }
}

/// Until the loop has been taken away.
void LoopRelief::work(Shift& shift)
{
    try {
        loop_.run();
        end_();
    } catch (const Left&) {
        ++standing_by_;
        boost::asio::post(loop_, [this, number = shift.held] { back_(number); });
    }
}

std::uint64_t LoopRelief::begin(Shift& shift, int fd, std::string_view path)
{
    if (!timer_) start();
    shift.fd = fd;
    shift.path[path.copy(shift.path.data(), shift.path.size() - 1)] = '\0';
    const std::uint64_t number = shift.call.load(std::memory_order_relaxed) + 1;
    shift.call = number;
    if (!armed_) arm();
    return number;
}

void LoopRelief::arm()
{
    if (timer_ && !armed_.exchange(true)) set_timer();
}

void LoopRelief::set_timer()
{
    const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kTickNs}};
    ::timerfd_settime(timer_.get(), 0, &soon, nullptr);
}

/// Whatever cannot be had: then calls hold the loop, as they would without us.
void LoopRelief::start()
{
    timer_ = ipc::UniqueFd{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
    armed_ = timer_ && !start_thread(); // for ever: nobody looks
}

bool LoopRelief::start_thread()
{
    try {
        ++standing_by_;
        std::thread{[this] { live(false); }}.detach();
        return true;
    } catch (const std::system_error&) {
        --standing_by_;
        return false;
    }
}

/// One look at how the call is getting on. True: the loop is ours.
bool LoopRelief::stand_by(Shift& shift)
{
    std::uint64_t times = 0;
    if (::read(timer_.get(), &times, sizeof times) != sizeof times) return false;
    Shift& at_work = *shift_;
    const std::uint64_t call = at_work.call;
    if (seen_.exchange(call) != call) return set_timer(), false; // calls come and go
    if (call % 2 == 1) return take_over(shift, at_work, call);
    armed_ = false; // nothing has happened since the last look
    if (at_work.call != call) arm();
    return false;
}

bool LoopRelief::take_over(Shift& shift, Shift& from, std::uint64_t call)
{
    from.held = ++numbers_;
    if (!from.call.compare_exchange_strong(call, kTaken)) return set_timer(), false;
    const HeldCall held{.number = from.held, .device = device_of(from.fd, from.path.data())};
    shift.call = 0;
    shift_ = &shift;
    seen_ = 0;
    may_leave_ = false;
    armed_ = --standing_by_ == 0 && !start_thread(); // nobody looks: the next one holds the loop
    ::pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
    held_(held);
    return true;
}

} // namespace cluster::supervisor
