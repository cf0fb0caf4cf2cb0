// Turns that do not fit into memory, and those that take the connection over.
#include "app/http/head.hpp"
#include "app/http/target.hpp"
#include "app/http/turn.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace cluster::app {

class Session::Stream final : public Exchange {
public:
    Stream(Session& session, Turn& turn) : session_{session}, turn_{turn} {}

    asio::awaitable<Result<std::size_t>> read_some(std::span<char> space) override
    {
        ErrorCode code = co_await session_.send_continue(turn_);
        if (!code) {
            const auto deadline = Transport::after(session_.service_.limits.body);
            const auto taken = co_await session_.read_piece(turn_, space, deadline);
            code = taken.code;
            if (!code) co_return taken.size;
        }
        co_return trouble(Trouble::unavailable, "read the body: " + code.message());
    }

    asio::awaitable<Result<void>> begin(Response head, std::optional<std::uint64_t> length) override
    {
        for (auto& header : turn_.extra_headers)
            head.headers.push_back(std::move(header));
        turn_.extra_headers.clear();
        begun_ = true;
        bodiless_ = turn_.is_head() || has_no_body(head.status);
        chunked_ = !length && !bodiless_ && turn_.header().version() >= 11;
        left_ = length;
        // Without a length an answer in HTTP/1.0 ends with the connection. A body of which
        // something is left when the handler has ended closes it too, though we have said
        // otherwise.
        keep_ = (chunked_ || length || bodiless_) && session_.may_keep(turn_);
        const ErrorCode code = co_await session_.send_head(turn_, head, length, keep_, {});
        co_return outcome(code);
    }

    asio::awaitable<Result<void>> write(std::string_view bytes) override
    {
        if (!begun_ || (left_ && bytes.size() > *left_)) {
            failed_ = true;
            co_return trouble(Trouble::refused, "write: more than was announced");
        }
        if (left_) *left_ -= bytes.size();
        if (bytes.empty() || bodiless_) co_return Result<void>{};
        turn_.bytes += bytes.size();
        const std::string size = chunked_ ? fmt::format("{:x}\r\n", bytes.size()) : "";
        const std::string_view end = chunked_ ? "\r\n" : "";
        const Transport::Bytes all{asio::buffer(size), asio::buffer(bytes), asio::buffer(end)};
        const ErrorCode code = co_await session_.transport_.write(all, deadline());
        co_return outcome(code);
    }

    /// The end of the answer; false when the connection cannot go on.
    asio::awaitable<bool> finish()
    {
        const bool whole = !failed_ && (bodiless_ || left_.value_or(0) == 0);
        if (!whole) turn_.complete = false;
        if (!whole || !chunked_) co_return whole&& keep_;
        constexpr std::string_view kEnd = "0\r\n\r\n";
        const Transport::Bytes bytes{asio::buffer(kEnd)};
        const ErrorCode code = co_await session_.transport_.write(bytes, deadline());
        co_return !code && keep_;
    }

    [[nodiscard]] bool begun() const { return begun_; }
    void fail() { failed_ = true; }

private:
    [[nodiscard]] Transport::Instant deadline() const
    {
        return Transport::after(session_.service_.limits.write);
    }

    Result<void> outcome(const ErrorCode& code)
    {
        if (!code) return {};
        failed_ = true;
        return trouble(Trouble::unavailable, "write the answer: " + code.message());
    }

    Session& session_;
    Turn& turn_;
    bool begun_ = false;
    bool bodiless_ = false;
    bool chunked_ = false;
    bool keep_ = false;
    bool failed_ = false;
    std::optional<std::uint64_t> left_;
};

/// A turn whose handler reads and writes by itself; false when the connection ends with it.
asio::awaitable<bool> Session::stream(Turn& turn)
{
    Stream exchange{*this, turn};
    std::optional<Response> response;
    std::string failure;
    try {
        response = co_await prepare(turn);
        if (!response) response = co_await turn.match.route->stream(turn.request, exchange);
    } catch (const std::exception& error) {
        failure = error.what();
    }
    if (!failure.empty()) {
        exchange.fail();
        response = thrown(std::move(failure));
    }
    if (exchange.begun()) {
        if (response) turn.detail = std::move(response->detail);
        const bool going = co_await exchange.finish();
        quiet_since_ = service_.clock.now();
        co_return going&& turn.parser.is_done();
    }
    if (!response) response = thrown("the handler said nothing");
    co_return co_await send(turn, std::move(*response));
}

/// Lets the handler have the connection (RFC 9110 section 7.8); returns when that has ended.
asio::awaitable<void> Session::hand_over(Turn& turn)
{
    std::optional<Response> refusal;
    std::string failure;
    try {
        refusal = co_await prepare(turn);
        // What the client sent ahead of our consent belongs to no protocol yet.
        if (!refusal && (!turn.parser.is_done() || buffer_.size() > 0))
            refusal = problem(http::status::bad_request, "BAD_REQUEST",
                              "A request to upgrade has no body, and waits for its answer.");
        if (!refusal) {
            http::request<http::string_body> upgrade{http::request_header<>{turn.header().base()}};
            buffer_.shrink_to_fit();
            turn.status = 101;
            turn.tell(); // an open connection is no request in flight
            co_await turn.match.route->upgrade(turn.request, transport_.socket(),
                                               std::move(upgrade));
        }
    } catch (const std::exception& error) {
        failure = error.what();
    }
    if (refusal) co_await send(turn, std::move(*refusal));
    if (!failure.empty())
        service_.log.error("a connection failed", {{"id", turn.request.id}, {"error", failure}});
}

} // namespace cluster::app
