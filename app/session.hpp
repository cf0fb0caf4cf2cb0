// One HTTP connection: a coroutine that reads requests one after the other (pipelined ones too),
// answers them and says goodbye politely. Its states:
//
//   idle ──first byte──▶ reading ──▶ answering ──keep-alive──▶ idle
//     └──limit, or quiet while draining──▶ closing ◀──close, error──┘
//
// All on the io_context's one thread. The Server owns the Session and outlives its coroutine.
#pragma once

#include "app/options.hpp"
#include "app/routes.hpp"
#include "ipc/base/clock.hpp"
#include "ipc/base/unique_fd.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace cluster::app {

namespace asio = boost::asio;

/// What all sessions share.
struct Service {
    const ipc::Clock& clock;
    Limits limits;
    std::optional<int> instance;
    milliseconds started; ///< `clock.now()` at start-up
    bool draining = false;

    [[nodiscard]] Status status() const;
};

class Session {
public:
    /// Takes the connected, non-blocking socket. `service` must outlive the session.
    Session(asio::io_context& io, ipc::UniqueFd fd, int family, const Service& service);

    /// Serves until the connection has ended. Every wait inside has a limit.
    asio::awaitable<void> serve();

    /// `service.draining` has become true: an idle connection looks at its limit again.
    void wake();

    /// Drops the connection where it stands; `serve` returns soon.
    void cut();

private:
    using ErrorCode = boost::system::error_code;
    using Parser = http::request_parser<http::string_body>;

    asio::awaitable<bool> next_request();
    asio::awaitable<ErrorCode> read(Parser& parser);
    asio::awaitable<ErrorCode> send_continue(const Parser& parser);
    asio::awaitable<bool> handle();
    asio::awaitable<bool> send(const Reply& reply, http::verb method, unsigned version, bool keep);
    asio::awaitable<void> say_goodbye();
    [[nodiscard]] bool more_waits();
    [[nodiscard]] milliseconds idle_limit() const;

    const Service& service_;
    asio::generic::stream_protocol::socket socket_;
    asio::steady_timer timer_; ///< the limit of the wait under way, or the delay of a reply
    boost::beast::flat_buffer buffer_;
    milliseconds quiet_since_; ///< end of the last answer, or the accept
    bool idle_ = false;        ///< between two requests, nothing of the next one is here
};

} // namespace cluster::app
