#include "app/events/websocket_link.hpp"

#include "app/base/completions.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include <utility>

namespace cluster::app {
namespace {

namespace websocket = boost::beast::websocket;
using ErrorCode = boost::system::error_code;

constexpr milliseconds kClosing{1000}; // for the other side's close frame
constexpr std::size_t kKeptBuffer = 4096;

} // namespace

WebSocketLink::WebSocketLink(StreamSocket& socket, const EventsOptions& options)
    : socket_{socket}, stream_{socket}, limit_{socket.get_executor()}, idle_{socket.get_executor()}
{
    stream_.read_message_max(options.max_payload);
    // One packet is one frame: no copy, and no buffer to keep per connection.
    stream_.auto_fragment(false);
    websocket::stream_base::timeout timeout{};
    timeout.handshake_timeout = kClosing;                  // bounds the closing handshake too
    timeout.idle_timeout = websocket::stream_base::none(); // the session pings
    timeout.keep_alive_pings = false;
    stream_.set_option(timeout);
}

asio::awaitable<bool> WebSocketLink::accept(const http::request<http::string_body>& upgrade)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto [code] = co_await stream_.async_accept(upgrade, kAsValue);
    co_return !code;
}

asio::awaitable<std::optional<EnginePacket>> WebSocketLink::read()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto [code, size] = co_await stream_.async_read(buffer_, kAsValue);
    if (code || cut_) co_return std::nullopt;
    const bool binary = stream_.got_binary();
    std::string data = boost::beast::buffers_to_string(buffer_.data());
    buffer_.consume(buffer_.size());
    if (buffer_.capacity() > kKeptBuffer) buffer_.shrink_to_fit();
    if (binary) {
        EnginePacket message{.type = EngineType::message, .data = std::move(data), .binary = true};
        co_return message;
    }
    // "b" and base64 stand for binary in polls alone.
    if (data.starts_with('b')) co_return std::nullopt;
    auto packet = parse_engine_packet(data);
    if (!packet) co_return std::nullopt;
    co_return std::move(*packet);
}

asio::awaitable<bool> WebSocketLink::write(EngineFrame frame)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    stream_.binary(frame.binary);
    const auto bytes = asio::buffer(*frame.bytes);
    const auto [code, size] = co_await stream_.async_write(bytes, kAsValue);
    co_return !code;
}

void WebSocketLink::flush()
{
    if (session_ == nullptr || writing_ || closing_ || cut_) return;
    current_ = session_->take_frame();
    if (!current_) {
        if (session_->state() != EngineSession::State::open) close();
        return;
    }
    writing_ = true;
    ++pending_;
    stream_.binary(current_->binary);
    stream_.async_write(asio::buffer(*current_->bytes),
                        [this](const ErrorCode& code, std::size_t) { wrote(code); });
}

void WebSocketLink::wrote(const ErrorCode& code)
{
    writing_ = false;
    current_.reset();
    if (code) cut(); // the reader ends, and tells
    flush();
    done();
}

bool WebSocketLink::more_waits() const
{
    ErrorCode code;
    return socket_.available(code) > 0 && !code;
}

void WebSocketLink::limit(milliseconds limit)
{
    ++pending_;
    limit_.expires_after(limit);
    limit_.async_wait([this](const ErrorCode& code) {
        if (!code) cut();
        done();
    });
}

void WebSocketLink::cut()
{
    if (std::exchange(cut_, true)) return;
    ErrorCode ignored;
    socket_.close(ignored);
}

void WebSocketLink::close()
{
    if (closing_ || cut_) return;
    closing_ = true;
    ++pending_;
    stream_.async_close(websocket::close_code::going_away, [this](const ErrorCode&) { done(); });
}

void WebSocketLink::done()
{
    if (--pending_ == 0) idle_.cancel();
}

asio::awaitable<void> WebSocketLink::finish()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    session_ = nullptr;
    limit_.cancel();
    // Where a polite close is under way its own second bounds it.
    if (!closing_) cut();
    while (pending_ > 0) {
        idle_.expires_at(asio::steady_timer::time_point::max());
        static_cast<void>(co_await idle_.async_wait(kAsValue));
    }
}

} // namespace cluster::app
