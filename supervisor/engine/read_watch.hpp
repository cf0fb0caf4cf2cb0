// Waiting until descriptors can be read: thousands of pipes and pidfds, most of them silent.
//
// Asio keeps some 400 bytes for each descriptor, and the kernel wakes its loop at each write to a
// pipe that it knows, also while nobody waits. Here one costs an entry in the kernel, and is silent
// until it is waited for (EPOLLONESHOT, man 7 epoll). Asio sees the epoll instance alone.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <functional>
#include <utility>

namespace cluster::supervisor {

class ReadWatch {
public:
    /// `ready` gets the token of a descriptor that can be read, or whose other end is closed. It
    /// must not destroy a WatchedFd: more may be known of them by then. Throws std::system_error
    /// where there is no descriptor for it: at the start, not when the first one is waited for.
    ReadWatch(boost::asio::io_context& loop, std::function<void(std::uint64_t token)> ready);
    ReadWatch(const ReadWatch&) = delete;
    ReadWatch& operator=(const ReadWatch&) = delete;

private:
    friend class WatchedFd;
    void wait(int fd, std::uint64_t token, bool known);
    void remove(int fd);
    void look();

    std::function<void(std::uint64_t)> ready_;
    boost::asio::posix::stream_descriptor epoll_;
    bool looking_ = false; ///< from the first wait on: a loop without any may end
};

/// A descriptor that a ReadWatch, which outlives it, knows. Closed at the end.
class WatchedFd {
public:
    WatchedFd() = default;
    WatchedFd(ReadWatch& watch, ipc::UniqueFd fd) : watch_{&watch}, fd_{std::move(fd)} {}
    WatchedFd(WatchedFd&& other) noexcept { *this = std::move(other); }
    WatchedFd& operator=(WatchedFd&& other) noexcept;
    ~WatchedFd() { reset(); }

    [[nodiscard]] int get() const { return fd_.get(); }
    explicit operator bool() const { return static_cast<bool>(fd_); }
    void reset();
    /// Tells once, from the loop, soon when it can be read already. Throws std::system_error where
    /// the kernel has no room for it (ENOMEM; ENOSPC: fs.epoll.max_user_watches), as Asio does.
    void wait(std::uint64_t token);
    /// Nobody waits now, and what comes costs its writer nothing on our account.
    void forget();

private:
    ReadWatch* watch_ = nullptr;
    ipc::UniqueFd fd_;
    bool known_ = false; ///< to the kernel's list
};

} // namespace cluster::supervisor
