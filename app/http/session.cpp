#include "app/http/session.hpp"

#include "app/http/head.hpp"
#include "app/http/turn.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cluster::app {
namespace {

using ErrorCode = boost::system::error_code;

constexpr std::size_t kMaxBufferedBytes = 64U << 10U; // of pipelined requests
constexpr std::size_t kReadBytes = 4U << 10U;
constexpr std::size_t kReadBodyBytes = 64U << 10U;
/// A connection that waits for its next request keeps no more than this.
constexpr std::size_t kIdleBytes = 16U << 10U;
/// A keep-alive client that was quiet for so long is not about to send: while draining, its
/// connection can be closed without cutting a request that is on its way.
constexpr milliseconds kQuiet{500};
/// After our FIN the client may still send; data that meets a closed socket is answered with RST,
/// and RST destroys the answer that the client has not read yet.
constexpr milliseconds kLinger{1000};
constexpr std::size_t kMaxLingerBytes = 4U << 20U;

/// "1 MiB", "8 KiB", "1000 bytes".
std::string size_text(std::size_t bytes)
{
    if (bytes % (1U << 20U) == 0) return fmt::format("{} MiB", bytes >> 20U);
    if (bytes % (1U << 10U) == 0) return fmt::format("{} KiB", bytes >> 10U);
    return fmt::format("{} bytes", bytes);
}

/// The answer to a request that could not be read; empty when there is nobody to answer.
std::optional<Response> answer_to(const ErrorCode& code, const Limits& limits)
{
    using http::error;
    if (code == error::header_limit || code == error::buffer_overflow)
        return problem(http::status::request_header_fields_too_large, "HEADER_TOO_LARGE",
                       "The header exceeds " + size_text(limits.header_bytes) + ".");
    if (code == error::body_limit)
        return problem(http::status::payload_too_large, "BODY_TOO_LARGE",
                       "The body exceeds " + size_text(limits.body_bytes) + ".");
    if (code == error::bad_version)
        return problem(http::status::http_version_not_supported, "BAD_VERSION",
                       "This server speaks HTTP/1.0 and HTTP/1.1.");
    if (code == asio::error::timed_out)
        return problem(http::status::request_timeout, "REQUEST_TIMEOUT",
                       "The request took too long to arrive.");
    // What the client ended or the network broke needs no answer; the rest is bad syntax.
    if (code == error::end_of_stream || code == error::partial_message ||
        code.category() != make_error_code(error::bad_method).category())
        return std::nullopt;
    return problem(http::status::bad_request, "BAD_REQUEST",
                   "The request is not valid HTTP: " + code.message() + ".");
}

} // namespace

Session::Session(asio::io_context& io, ipc::UniqueFd fd, int family, Service& service)
    : service_{service}, transport_{io, std::move(fd), family},
      buffer_{service.limits.header_bytes + kMaxBufferedBytes}, peer_{transport_.peer()},
      quiet_since_{service.clock.now()}
{
}

asio::awaitable<void> Session::serve()
{
    bool going = true;
    while (going) {
        going = co_await next_request();
        if (going) going = co_await take_turn();
        // A client that sends without a pause must not keep the others waiting.
        if (going && buffer_.size() > 0)
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
    co_await say_goodbye();
}

asio::awaitable<void> Session::refuse()
{
    Turn turn{service_};
    Response response = problem(http::status::service_unavailable, "TOO_MANY_CONNECTIONS",
                                "This server has as many connections as it may.");
    response.headers.emplace_back("Retry-After", "1");
    co_await send(turn, std::move(response));
    turn.tell();
    co_await say_goodbye();
}

void Session::wake()
{
    if (idle_) transport_.interrupt();
}

std::string_view Session::buffered() const
{
    const auto bytes = buffer_.data();
    return {static_cast<const char*>(bytes.data()), bytes.size()};
}

bool Session::more_waits()
{
    return buffer_.size() > 0 || transport_.more_waits();
}

milliseconds Session::idle_limit() const
{
    return quiet_since_ + (service_.draining ? kQuiet : service_.limits.idle) -
           service_.clock.now();
}

/// Waits for the first byte of a request; false when the connection is to be closed instead.
asio::awaitable<bool> Session::next_request()
{
    if (buffer_.size() == 0 && buffer_.capacity() > kIdleBytes) buffer_.shrink_to_fit();
    while (!buffer_.size()) {
        const milliseconds limit = idle_limit();
        if (limit <= milliseconds::zero() && !transport_.more_waits()) co_return false;
        idle_ = true;
        const ErrorCode code =
            co_await read_more(kReadBytes, Transport::after(std::max(limit, milliseconds{1})));
        idle_ = false;
        // Only time and a change of mind let us look again.
        if (code && code != asio::error::timed_out && code != asio::error::operation_aborted)
            co_return false;
        if (!transport_.is_open()) co_return false; // cut
    }
    co_return true;
}

/// Reads and answers one request; false when it was the last one of this connection.
asio::awaitable<bool> Session::take_turn()
{
    Turn turn{service_};
    const ErrorCode code = co_await read_header(turn);
    std::optional<Response> refusal =
        code ? answer_to(code, service_.limits) : turn.parser.refusal();
    if (!code) describe(turn);
    if (code && !refusal) {
        turn.told = true; // nobody is there: no request that anybody could have counted
        co_return false;
    }
    if (!refusal) co_return co_await answer(turn);
    turn.last = true;
    co_await send(turn, std::move(*refusal));
    co_return false;
}

asio::awaitable<bool> Session::answer(Turn& turn)
{
    const Route* const route = turn.match.route;
    const bool upgrades = route != nullptr && route->upgrade && turn.parser.wants_websocket();
    if (upgrades) {
        co_await hand_over(turn);
        co_return false;
    }
    if (route != nullptr && route->stream) co_return co_await stream(turn);

    const ErrorCode code = co_await read_body(turn);
    if (code) {
        turn.complete = false;
        auto refusal = answer_to(code, service_.limits);
        if (refusal) co_await send(turn, std::move(*refusal));
        co_return false;
    }
    Response response = co_await respond(turn);
    if (response.delay > milliseconds::zero()) co_await transport_.sleep(response.delay);
    co_return co_await send(turn, std::move(response));
}

/// Appends what arrives next to the buffer.
asio::awaitable<Session::ErrorCode> Session::read_more(std::size_t most,
                                                       Transport::Instant deadline)
{
    const std::size_t space = std::min(most, buffer_.max_size() - buffer_.size());
    if (space == 0) co_return make_error_code(http::error::buffer_overflow);
    const auto taken = co_await transport_.read_some(buffer_.prepare(space), deadline);
    buffer_.commit(taken.size);
    co_return taken.code;
}

asio::awaitable<Session::ErrorCode> Session::read_header(Turn& turn)
{
    const auto deadline = Transport::after(service_.limits.header);
    while (true) {
        const auto step = turn.parser.take_header(buffered());
        buffer_.consume(step.used);
        if (step.code || turn.parser.has_header()) co_return step.code;
        if (!step.starved) continue;
        const ErrorCode code = co_await read_more(kReadBytes, deadline);
        if (code) co_return code;
    }
}

/// The next bytes of the body; none at its end. It has no limit of its own.
asio::awaitable<Transport::Taken> Session::read_piece(Turn& turn, std::span<char> space,
                                                      Transport::Instant deadline)
{
    while (!space.empty() && !turn.parser.is_done()) {
        const auto step = turn.parser.take_body(buffered(), space);
        buffer_.consume(step.used);
        if (step.code || step.filled > 0) co_return Transport::Taken{step.code, step.filled};
        if (turn.parser.is_done() || !step.starved) continue;
        ErrorCode code = co_await read_more(std::min(kReadBodyBytes, space.size()), deadline);
        if (code == asio::error::eof) code = make_error_code(http::error::partial_message);
        if (code) co_return Transport::Taken{code, 0};
    }
    co_return Transport::Taken{};
}

asio::awaitable<Session::ErrorCode> Session::read_body(Turn& turn)
{
    const std::size_t limit = service_.limits.body_bytes;
    const auto announced = turn.parser.content_length();
    if (announced && *announced > limit) co_return make_error_code(http::error::body_limit);
    if (turn.parser.is_done()) co_return ErrorCode{};
    ErrorCode code = co_await send_continue(turn);
    if (code) co_return code;
    const auto deadline = Transport::after(service_.limits.body);
    // As much memory as has arrived, not as much as was announced.
    std::size_t size = 0;
    while (!turn.parser.is_done()) {
        if (turn.body.size() - size < kReadBytes) turn.body.resize(size * 2 + kReadBytes);
        const std::span<char> space{turn.body.data() + size, turn.body.size() - size};
        const auto taken = co_await read_piece(turn, space, deadline);
        if (taken.code) co_return taken.code;
        size += taken.size;
        if (size > limit) co_return make_error_code(http::error::body_limit);
    }
    turn.body.resize(size);
    turn.request.body = turn.body;
    co_return ErrorCode{};
}

/// RFC 9110 section 10.1.1: a client that expects it sends no body before it.
asio::awaitable<Session::ErrorCode> Session::send_continue(Turn& turn)
{
    const bool needed = turn.parser.expects_continue() && !turn.continue_sent;
    if (!needed || turn.parser.is_done()) co_return ErrorCode{};
    turn.continue_sent = true;
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const Transport::Bytes bytes{asio::buffer(kContinue)};
    co_return co_await transport_.write(bytes, Transport::after(service_.limits.write));
}

bool Session::may_keep(const Turn& turn)
{
    if (!turn.described || turn.last || !turn.parser.keep_alive()) return false;
    // While draining, what the client has sent already is still answered, then it ends.
    return !service_.draining || more_waits();
}

/// Sends the whole answer; false when it is the last one of this connection.
asio::awaitable<bool> Session::send(Turn& turn, Response response)
{
    for (auto& header : turn.extra_headers)
        response.headers.push_back(std::move(header));
    if (turn.detail.empty()) turn.detail = std::move(response.detail);
    const bool keep = turn.parser.is_done() && may_keep(turn);
    const bool bodiless = turn.is_head() || has_no_body(response.status);
    const std::string_view body = bodiless ? std::string_view{} : response.body;
    const ErrorCode code = co_await send_head(turn, response, response.body.size(), keep, body);
    quiet_since_ = service_.clock.now();
    co_return !code && keep;
}

asio::awaitable<Session::ErrorCode> Session::send_head(Turn& turn, const Response& head,
                                                       std::optional<std::uint64_t> length,
                                                       bool keep, std::string_view body)
{
    const unsigned version = turn.described ? turn.header().version() : 11;
    const Framing framing{.version = version,
                          .keep = keep,
                          .length = length,
                          .date = service_.date.of(service_.clock.wall_ms()),
                          .request_id = turn.request.id};
    out_.clear();
    append_head(out_, head, framing);
    turn.status = static_cast<unsigned>(head.status);
    turn.bytes = body.size();
    const Transport::Bytes bytes{asio::buffer(out_), asio::buffer(body)};
    const ErrorCode code =
        co_await transport_.write(bytes, Transport::after(service_.limits.write));
    if (code) turn.complete = false;
    co_return code;
}

/// FIN first, then whatever the client still sends is read and thrown away until it closes too.
asio::awaitable<void> Session::say_goodbye()
{
    transport_.finish();
    const auto deadline = Transport::after(kLinger);
    std::array<char, 4096> waste;
    ErrorCode code;
    for (std::size_t seen = 0; !code && transport_.is_open() && seen < kMaxLingerBytes;) {
        const auto taken = co_await transport_.read_some(asio::buffer(waste), deadline);
        code = taken.code;
        seen += taken.size;
    }
    transport_.cut();
}

} // namespace cluster::app
