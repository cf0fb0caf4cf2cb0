// The seam between Engine.IO and Socket.IO: a client that packets go to, and who is told what came.
#pragma once

#include "app/events/engine_session.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace cluster::app {

namespace asio = boost::asio;

/// What is known about a client from its first request.
struct ClientHandshake {
    std::string address{}; ///< proxies we trust left out
    std::string url{};     ///< path and query, without what is secret
    bool cross_domain = false;
    std::int64_t issued_ms = 0; ///< since 1970
};

class EngineClient {
public:
    virtual ~EngineClient() = default;
    [[nodiscard]] virtual const std::string& sid() const = 0;
    [[nodiscard]] virtual const ClientHandshake& handshake() const = 0;
    /// Queues it. A client whose queue is full is closed, which the listener is told at once.
    virtual void send(const EngineFrame& frame) = 0;
    /// Whether what is sent now goes out now.
    [[nodiscard]] virtual bool writable() const = 0;
    /// Asks for a sign of life: from then on `caught_up` says whether all has come that the client
    /// had sent when it got the question, and nothing that came waits to be read.
    virtual void mark() = 0;
    [[nodiscard]] virtual bool caught_up() const = 0;
    /// Sends what is queued, then ends. The listener is told at once.
    virtual void close(CloseReason reason) = 0;
};

class EngineListener {
public:
    virtual ~EngineListener() = default;
    virtual void on_open(const std::shared_ptr<EngineClient>& client) = 0;
    /// A message of the client; the next one is read when this is done, so that who sends faster
    /// than it can be handled is slowed down.
    virtual asio::awaitable<void> on_message(std::shared_ptr<EngineClient> client,
                                             EnginePacket packet) = 0;
    /// The client has answered a ping.
    virtual void on_heartbeat(EngineClient& client) = 0;
    virtual void on_close(EngineClient& client, CloseReason reason) = 0;
};

} // namespace cluster::app
