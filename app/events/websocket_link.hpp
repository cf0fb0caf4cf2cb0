// One WebSocket as a transport of Engine.IO: reads messages one after the other, writes what a
// session has queued. The coroutine that took the connection over owns it and waits for `finish`,
// so no handler outlives it.
#pragma once

#include "app/events/engine_session.hpp"
#include "app/http/router.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <optional>

namespace cluster::app {

class WebSocketLink {
public:
    WebSocketLink(StreamSocket& socket, const EventsOptions& options);

    /// Answers the upgrade. false: the connection is of no use any more.
    asio::awaitable<bool> accept(const http::request<http::string_body>& upgrade);

    /// The next message; nullopt when the connection has ended or breaks the protocol. It ends by
    /// itself, by `cut` or `close`, or when the session times out.
    asio::awaitable<std::optional<EnginePacket>> read();

    /// Writes one packet; only before `attach`.
    asio::awaitable<bool> write(EngineFrame frame);

    /// From now on this is where the packets of `session` go; nullptr: nobody's.
    void attach(EngineSession* session) { session_ = session; }
    /// Writes what is queued; when the session is closing and all is out, closes.
    void flush();
    [[nodiscard]] bool writing() const { return writing_; }
    /// Whether bytes have arrived that nobody has read.
    [[nodiscard]] bool more_waits() const;

    /// Cuts the connection after `limit`, until `cancel_limit`.
    void limit(milliseconds limit);
    void cancel_limit() { limit_.cancel(); }

    /// Drops the connection: `read` ends.
    void cut();

    /// The WebSocket's close, as politely as a second allows.
    void close();

    /// Waits until nothing is under way any more. Ends, because it cuts first.
    asio::awaitable<void> finish();

private:
    void wrote(const boost::system::error_code& code);
    void done();

    StreamSocket& socket_;
    boost::beast::websocket::stream<StreamSocket&> stream_;
    boost::beast::flat_buffer buffer_;
    asio::steady_timer limit_;
    asio::steady_timer idle_; ///< cancelled when the last handler has run
    EngineSession* session_ = nullptr;
    std::optional<EngineFrame> current_; ///< being written
    int pending_ = 0;                    ///< handlers that will still run
    bool writing_ = false;
    bool closing_ = false;
    bool cut_ = false;
};

} // namespace cluster::app
