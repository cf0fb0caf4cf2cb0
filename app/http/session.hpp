// One HTTP connection: a coroutine that reads requests one after the other (pipelined ones too),
// answers them and says goodbye politely. Its states:
//
//   idle ──first byte──▶ reading ──▶ answering ──keep-alive──▶ idle
//     │                                  └──upgrade──▶ handed over ──▶ closing
//     └──limit, or quiet while draining──▶ closing ◀──close, error──┘
//
// All on the io_context's one thread. The Server owns the Session and outlives its coroutine; a
// connection that was handed over (WebSocket) counts as one of its sessions until it has ended.
#pragma once

#include "app/http/service.hpp"
#include "app/http/transport.hpp"
#include "ipc/base/unique_fd.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cluster::app {

class Session {
public:
    /// Takes the connected, non-blocking socket. `service` must outlive the session.
    Session(asio::io_context& io, ipc::UniqueFd fd, int family, Service& service);

    /// Serves until the connection has ended. Every wait inside has a limit.
    asio::awaitable<void> serve();

    /// Says that there are too many connections, and ends.
    asio::awaitable<void> refuse();

    /// `service.draining` has become true: an idle connection looks at its limit again.
    void wake();

    /// Drops the connection where it stands; `serve` returns soon.
    void cut() { transport_.cut(); }

private:
    using ErrorCode = boost::system::error_code;
    struct Turn;  ///< one request and what becomes of it
    class Stream; ///< the Exchange of a turn

    asio::awaitable<bool> next_request();
    asio::awaitable<bool> take_turn();
    asio::awaitable<bool> answer(Turn& turn);

    asio::awaitable<ErrorCode> read_more(std::size_t most, Transport::Instant deadline);
    asio::awaitable<ErrorCode> read_header(Turn& turn);
    asio::awaitable<ErrorCode> read_body(Turn& turn);
    asio::awaitable<Transport::Taken> read_piece(Turn& turn, std::span<char> space,
                                                 Transport::Instant deadline);
    asio::awaitable<ErrorCode> send_continue(Turn& turn);

    void describe(Turn& turn);
    asio::awaitable<std::optional<Response>> admit(Turn& turn);
    asio::awaitable<std::optional<Response>> count(Turn& turn);
    asio::awaitable<std::optional<Response>> prepare(Turn& turn);
    asio::awaitable<Response> respond(Turn& turn);
    asio::awaitable<bool> stream(Turn& turn);
    asio::awaitable<void> hand_over(Turn& turn);

    [[nodiscard]] bool may_keep(const Turn& turn);
    asio::awaitable<bool> send(Turn& turn, Response response);
    asio::awaitable<ErrorCode> send_head(Turn& turn, const Response& head,
                                         std::optional<std::uint64_t> length, bool keep,
                                         std::string_view body);
    asio::awaitable<void> say_goodbye();
    [[nodiscard]] std::string_view buffered() const;
    [[nodiscard]] bool more_waits();
    [[nodiscard]] milliseconds idle_limit() const;

    Service& service_;
    Transport transport_;
    boost::beast::flat_buffer buffer_;
    std::string out_;          ///< the head being sent; kept for its memory
    std::string peer_;         ///< address of the connection's other end
    milliseconds quiet_since_; ///< end of the last answer, or the accept
    bool idle_ = false;        ///< between two requests, nothing of the next one is here
};

} // namespace cluster::app
