#include "app/session.hpp"

#include "ipc/base/version.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <unistd.h>

#include <array>
#include <ctime>
#include <tuple>
#include <utility>
#include <variant>

namespace cluster::app {
namespace {

using namespace asio::experimental::awaitable_operators;
using ErrorCode = boost::system::error_code;

constexpr auto kAsValue = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxHeaderBytes = 8U << 10U;
constexpr std::size_t kMaxBodyBytes = 1U << 20U;
constexpr std::size_t kMaxBufferedBytes = 64U << 10U; // of pipelined requests
/// A keep-alive client that was quiet for so long is not about to send: while draining, its
/// connection can be closed without cutting a request that is on its way.
constexpr milliseconds kQuiet{500};
/// After our FIN the client may still send; data that meets a closed socket is answered with RST,
/// and RST destroys the answer that the client has not read yet.
constexpr milliseconds kLinger{1000};
constexpr std::size_t kMaxLingerBytes = 4 * kMaxBodyBytes;

/// Waits for `operation` for at most `limit`. Errors: timed_out, else those of the operation.
template <class... T>
asio::awaitable<ErrorCode> within(asio::steady_timer& timer, milliseconds limit,
                                  asio::awaitable<std::tuple<ErrorCode, T...>> operation)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    timer.expires_after(limit);
    auto race = std::move(operation) || timer.async_wait(kAsValue);
    const auto first = co_await std::move(race); // the loser is cancelled and awaited for us
    if (const auto* const done = std::get_if<0>(&first)) co_return std::get<0>(*done);
    const auto [code] = std::get<1>(first);
    co_return code ? code : ErrorCode{asio::error::timed_out};
}

/// RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(std::int64_t wall_ms)
{
    const std::time_t seconds = wall_ms / 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    return {text.data(),
            std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

/// The answer to a request that could not be read; empty when there is nobody to answer.
std::optional<Reply> reply_to(const ErrorCode& code)
{
    using http::error;
    if (code == error::header_limit || code == error::buffer_overflow)
        return refusal(http::status::request_header_fields_too_large, "the header exceeds 8 KiB");
    if (code == error::body_limit)
        return refusal(http::status::payload_too_large, "the body exceeds 1 MiB");
    if (code == error::bad_version)
        return refusal(http::status::http_version_not_supported, "HTTP/1.0 and HTTP/1.1 only");
    if (code == asio::error::timed_out)
        return refusal(http::status::request_timeout, "the request took too long to arrive");
    // What the client ended or the network broke needs no answer; the rest is bad syntax.
    if (code == error::end_of_stream || code == error::partial_message ||
        code.category() != make_error_code(error::bad_method).category())
        return std::nullopt;
    return refusal(http::status::bad_request, code.message());
}

/// RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
bool lacks_host(const http::request<http::string_body>& request)
{
    const auto hosts = request.count(http::field::host);
    return hosts > 1 || (hosts == 0 && request.version() >= 11);
}

} // namespace

Status Service::status() const
{
    return {.instance = instance,
            .pid = ::getpid(),
            .uptime = clock.now() - started,
            .draining = draining};
}

Session::Session(asio::io_context& io, ipc::UniqueFd fd, int family, const Service& service)
    : service_{service}, socket_{io}, timer_{io}, buffer_{kMaxBufferedBytes},
      quiet_since_{service.clock.now()}
{
    ErrorCode failed; // shows at the first read
    socket_.assign(asio::generic::stream_protocol{family, 0}, fd.get(), failed);
    if (failed) return;
    static_cast<void>(fd.release());
    // A unix socket has no Nagle delay to switch off.
    ErrorCode ignored;
    if (family != AF_UNIX) socket_.set_option(asio::ip::tcp::no_delay{true}, ignored);
}

asio::awaitable<void> Session::serve()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    bool going = true;
    while (going) {
        going = co_await next_request();
        if (going) going = co_await handle();
    }
    co_await say_goodbye();
}

void Session::wake()
{
    if (idle_) timer_.cancel();
}

void Session::cut()
{
    ErrorCode ignored;
    socket_.close(ignored);
    timer_.cancel();
}

bool Session::more_waits()
{
    ErrorCode failed;
    return buffer_.size() > 0 || socket_.available(failed) > 0;
}

milliseconds Session::idle_limit() const
{
    return quiet_since_ + (service_.draining ? kQuiet : service_.limits.idle) -
           service_.clock.now();
}

/// Waits for the first byte of a request; false when the connection is to be closed instead.
asio::awaitable<bool> Session::next_request()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // Waiting for readiness instead of reading: a wait that loses the race has taken no bytes.
    while (!more_waits()) {
        const milliseconds limit = idle_limit();
        if (limit <= milliseconds::zero()) co_return false;
        idle_ = true;
        const ErrorCode code = co_await within(
            timer_, limit, socket_.async_wait(decltype(socket_)::wait_read, kAsValue));
        idle_ = false;
        if (!code) co_return true; // a request, or its end, which the read will tell
        if (code != asio::error::timed_out && code != asio::error::operation_aborted)
            co_return false;
        if (!socket_.is_open()) co_return false; // cut
    }
    co_return true;
}

asio::awaitable<Session::ErrorCode> Session::read(Parser& parser)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    ErrorCode code = co_await within(timer_, service_.limits.header,
                                     http::async_read_header(socket_, buffer_, parser, kAsValue));
    if (!code) code = co_await send_continue(parser);
    if (code || parser.is_done()) co_return code;
    co_return co_await within(timer_, service_.limits.body,
                              http::async_read(socket_, buffer_, parser, kAsValue));
}

/// RFC 9110 section 10.1.1: a client that expects it sends no body before it.
asio::awaitable<Session::ErrorCode> Session::send_continue(const Parser& parser)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto& request = parser.get();
    const bool expected = boost::beast::iequals(request[http::field::expect], "100-continue");
    if (!expected || request.version() < 11 || parser.is_done()) co_return ErrorCode{};
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto bytes = asio::buffer(kContinue);
    co_return co_await within(timer_, service_.limits.write,
                              asio::async_write(socket_, bytes, kAsValue));
}

/// Reads and answers one request; false when it was the last one of this connection.
asio::awaitable<bool> Session::handle()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    Parser parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(kMaxBodyBytes);
    const ErrorCode code = co_await read(parser);
    if (code) {
        const auto reply = reply_to(code);
        if (reply) co_await send(*reply, http::verb::get, 11, false);
        co_return false;
    }

    const auto& request = parser.get();
    const std::string_view target{request.target().data(), request.target().size()};
    const Reply reply = lacks_host(request)
                            ? refusal(http::status::bad_request, "exactly one Host is needed")
                            : answer(request.method(), target, service_.status());
    if (reply.delay > milliseconds::zero()) {
        timer_.expires_after(reply.delay);
        co_await timer_.async_wait(kAsValue); // ends after at most kMaxDelay, or by cut()
    }
    // While draining, what the client has sent already is still answered, then it ends.
    const bool keep = request.keep_alive() && (!service_.draining || more_waits());
    co_return co_await send(reply, request.method(), request.version(), keep);
}

asio::awaitable<bool> Session::send(const Reply& reply, http::verb method, unsigned version,
                                    bool keep)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    http::response<http::string_body> response{reply.status, version};
    response.set(http::field::server, std::string{"clusterapp/"} + ipc::version());
    response.set(http::field::date, http_date(service_.clock.wall_ms()));
    response.set(http::field::content_type, "application/json");
    response.set(http::field::cache_control, "no-store");
    if (!reply.allow.empty()) response.set(http::field::allow, reply.allow);
    response.content_length(reply.body.size());
    response.keep_alive(keep);
    if (method != http::verb::head) response.body() = reply.body;

    const ErrorCode code = co_await within(timer_, service_.limits.write,
                                           http::async_write(socket_, response, kAsValue));
    quiet_since_ = service_.clock.now();
    co_return !code && keep;
}

/// FIN first, then whatever the client still sends is read and thrown away until it closes too.
asio::awaitable<void> Session::say_goodbye()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    ErrorCode code;
    socket_.shutdown(asio::socket_base::shutdown_send, code);
    const milliseconds until = service_.clock.now() + kLinger;
    std::array<char, 4096> waste;
    for (std::size_t seen = 0; !code && seen < kMaxLingerBytes; seen += waste.size()) {
        const milliseconds left = until - service_.clock.now();
        if (left <= milliseconds::zero()) break;
        const auto space = asio::buffer(waste);
        code = co_await within(timer_, left, socket_.async_read_some(space, kAsValue));
    }
    socket_.close(code);
}

} // namespace cluster::app
