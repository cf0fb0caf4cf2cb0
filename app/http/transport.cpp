#include "app/http/transport.hpp"

#include "app/base/completions.hpp"
#include "app/http/client_address.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cstring>

namespace cluster::app {
namespace {

/// What is left of `bytes` without their first `size`.
void drop(Transport::Bytes& bytes, std::size_t size)
{
    for (asio::const_buffer& piece : bytes) {
        const std::size_t gone = std::min(size, piece.size());
        piece += gone;
        size -= gone;
    }
}

} // namespace

Transport::Transport(asio::io_context& io, ipc::UniqueFd fd, int family)
    : socket_{io}, watchdog_{io}, watch_{std::make_shared<Watch>(this)}
{
    ErrorCode failed;
    socket_.assign(asio::generic::stream_protocol{family, 0}, fd.get(), failed);
    if (failed) return;
    static_cast<void>(fd.release());
    ErrorCode ignored;
    socket_.non_blocking(true, ignored);
    // A unix socket has no Nagle delay to switch off.
    if (family != AF_UNIX) socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
}

Transport::~Transport()
{
    watch_->owner = nullptr;
}

asio::awaitable<Transport::Taken> Transport::read_some(asio::mutable_buffer space, Instant deadline)
{
    begin_wait(deadline);
    const auto [code, size] = co_await socket_.async_read_some(space, kAsValue);
    co_return Taken{end_wait(code), size};
}

asio::awaitable<Transport::ErrorCode> Transport::write(Bytes bytes, Instant deadline)
{
    while (asio::buffer_size(bytes) > 0) {
        // Most answers fit into the kernel's buffer: no wait, no trip through the loop.
        ErrorCode code;
        std::size_t size = socket_.write_some(bytes, code);
        if (code == asio::error::would_block) {
            begin_wait(deadline);
            const auto [late, written] = co_await socket_.async_write_some(bytes, kAsValue);
            code = end_wait(late);
            size = written;
        }
        drop(bytes, size);
        if (code) co_return code;
    }
    co_return ErrorCode{};
}

asio::awaitable<void> Transport::sleep(milliseconds time)
{
    asio::steady_timer timer{socket_.get_executor(), time};
    sleeping_ = &timer;
    co_await timer.async_wait(kAsValue);
    sleeping_ = nullptr;
}

void Transport::interrupt()
{
    ErrorCode ignored;
    socket_.cancel(ignored);
    if (sleeping_ != nullptr) sleeping_->cancel();
}

void Transport::cut()
{
    ErrorCode ignored;
    socket_.close(ignored);
    if (sleeping_ != nullptr) sleeping_->cancel();
}

void Transport::finish()
{
    ErrorCode ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

bool Transport::more_waits() const
{
    ErrorCode failed;
    return socket_.available(failed) > 0;
}

std::string Transport::peer() const
{
    ErrorCode failed;
    const auto remote = socket_.remote_endpoint(failed);
    if (failed) return "";
    const int family = remote.protocol().family();
    if (family == AF_UNIX) return "unix";
    asio::ip::tcp::endpoint endpoint;
    if (remote.size() > endpoint.capacity()) return "";
    std::memcpy(endpoint.data(), remote.data(), remote.size());
    return plain_address(endpoint.address().to_string());
}

void Transport::begin_wait(Instant deadline)
{
    expired_ = false;
    deadline_ = deadline;
    if (!watching_ || deadline < watchdog_.expiry()) watch(deadline);
}

Transport::ErrorCode Transport::end_wait(ErrorCode code)
{
    deadline_ = Instant::max();
    if (code == asio::error::operation_aborted && expired_) return asio::error::timed_out;
    return code;
}

void Transport::watch(Instant until)
{
    watching_ = true;
    watchdog_.expires_at(until); // the wait before, if any, ends as cancelled
    watchdog_.async_wait([watch = watch_](const ErrorCode& code) {
        if (!code && watch->owner != nullptr) watch->owner->look();
    });
}

void Transport::look()
{
    watching_ = false;
    if (deadline_ == Instant::max()) return; // no wait under way; the next one starts us again
    if (deadline_ > std::chrono::steady_clock::now()) return watch(deadline_);
    expired_ = true;
    ErrorCode ignored;
    socket_.cancel(ignored);
}

} // namespace cluster::app
