// Engine.IO, protocol 4, on our HTTP server: long polls (GET and POST /socket.io/) and WebSockets,
// and the way from one to the other. Owns the connections; EngineSession decides about each.
//
// One thread. The engine must outlive all its routes' coroutines.
#pragma once

#include "app/events/engine_client.hpp"
#include "app/http/router.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>

namespace cluster::app {

class WebSocketLink;

class Engine {
public:
    Engine(asio::io_context& io, const ipc::Clock& clock, const EventsOptions& options,
           EngineListener& listener);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// GET, POST and OPTIONS of /socket.io/ (and without the slash at its end).
    void add_routes(Router& router);

    /// No new client from now on: 503.
    void refuse_new() { refusing_ = true; }
    [[nodiscard]] std::size_t clients() const { return connections_.size(); }

private:
    class Connection;
    using ConnectionPtr = std::shared_ptr<Connection>;

    asio::awaitable<Response> answer(Request& request);
    asio::awaitable<Response> poll(ConnectionPtr connection);
    asio::awaitable<Response> post(ConnectionPtr connection, Request& request);
    Response open_by_poll(const Request& request);
    asio::awaitable<void> upgrade(Request& request, StreamSocket& socket,
                                  http::request<http::string_body> upgrade);
    asio::awaitable<bool> probe(WebSocketLink& link, ConnectionPtr connection);
    asio::awaitable<void> serve(WebSocketLink& link, ConnectionPtr connection);

    ConnectionPtr add(const Request& request, EngineTransport transport);
    [[nodiscard]] ConnectionPtr find(const Request& request) const;
    /// What `packet` means for the connection; false: it has ended.
    asio::awaitable<bool> take(ConnectionPtr connection, EnginePacket packet);
    void lose(Connection& connection, CloseReason reason);
    void forget(const std::string& sid) { connections_.erase(sid); }
    void schedule(const ConnectionPtr& connection);
    void tick(const ConnectionPtr& connection);
    Response with_cors(const Request& request, Response response) const;

    asio::io_context& io_;
    const ipc::Clock& clock_;
    const EventsOptions& options_;
    EngineListener& listener_;
    std::unordered_map<std::string, ConnectionPtr> connections_; ///< by session id
    bool refusing_ = false;
};

} // namespace cluster::app
