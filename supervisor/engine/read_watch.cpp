#include "supervisor/engine/read_watch.hpp"

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::asio::posix::stream_descriptor;

constexpr std::size_t kAtOnce = 64;

[[noreturn]] void fail_watching()
{
    throw std::system_error{errno, std::system_category(), "epoll"};
}

int make_epoll()
{
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_watching();
    return epoll;
}

} // namespace

ReadWatch::ReadWatch(boost::asio::io_context& loop, std::function<void(std::uint64_t)> ready)
    : ready_{std::move(ready)}, epoll_{loop, make_epoll()}
{
}

void ReadWatch::wait(int fd, std::uint64_t token, bool known)
{
    epoll_event about{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = token}};
    const int what = known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (::epoll_ctl(epoll_.native_handle(), what, fd, &about) != 0) fail_watching();
    if (!std::exchange(looking_, true)) look();
}

/// Closing it is not enough: others may have a duplicate (man 7 epoll, "Will closing a file …").
void ReadWatch::remove(int fd)
{
    (void)::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
}

void ReadWatch::look()
{
    epoll_.async_wait(stream_descriptor::wait_read, [this](boost::system::error_code cancelled) {
        if (cancelled) return;
        std::array<epoll_event, kAtOnce> events;
        int count = 0;
        do {
            count = ::epoll_wait(epoll_.native_handle(), events.data(), kAtOnce, 0);
            for (int index = 0; index < count; ++index)
                ready_(events[static_cast<std::size_t>(index)].data.u64);
        } while (count == static_cast<int>(kAtOnce));
        look();
    });
}

WatchedFd& WatchedFd::operator=(WatchedFd&& other) noexcept
{
    reset();
    watch_ = other.watch_;
    fd_ = std::move(other.fd_);
    known_ = std::exchange(other.known_, false);
    return *this;
}

void WatchedFd::wait(std::uint64_t token)
{
    watch_->wait(fd_.get(), token, known_);
    known_ = true;
}

void WatchedFd::forget()
{
    if (std::exchange(known_, false)) watch_->remove(fd_.get());
}

void WatchedFd::reset()
{
    forget();
    fd_ = ipc::UniqueFd{};
}

} // namespace cluster::supervisor
