// A namespace of Socket.IO on this instance: its sockets, their rooms, what happens on which event.
//
// One thread. After every co_await a socket may be gone: it is named by its id and looked up again.
#pragma once

#include "app/base/log.hpp"
#include "app/events/adapter.hpp"
#include "app/events/engine_client.hpp"
#include "app/events/socket_packet.hpp"
#include "app/metrics/metrics.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cluster::app {

class Namespace;

/// Answers a client's acknowledgement, once; without effect when it wanted none or has gone.
class Ack {
public:
    Ack() = default;
    Ack(std::weak_ptr<EngineClient> client, std::string nsp, std::uint64_t id)
        : client_{std::move(client)}, nsp_{std::move(nsp)}, id_{id}
    {
    }
    [[nodiscard]] bool wanted() const { return id_.has_value(); }
    /// `value` is what the client's callback gets.
    void operator()(json value);

private:
    std::weak_ptr<EngineClient> client_;
    std::string nsp_;
    std::optional<std::uint64_t> id_;
};

/// A client asks to enter the namespace.
struct ConnectCall {
    Namespace& nsp;
    std::string socket;
    json auth; ///< an object; may hold secrets
    ClientHandshake handshake;
};

/// What a client sent.
struct EventCall {
    Namespace& nsp;
    std::string socket;
    std::string event;
    json args; ///< an array, without the event's name
    Ack ack;
};

class Namespace final : public LocalSockets {
public:
    Namespace(asio::io_context& io, std::string name, Counter& received, Counter& sent);
    ~Namespace() override;

    [[nodiscard]] const std::string& name() const { return name_; }

    // What happens here.

    /// The data to keep with the socket, or why it may not enter (the client's connect_error).
    using ConnectHandler =
        std::function<asio::awaitable<std::expected<json, std::string>>(ConnectCall call)>;
    using EventHandler = std::function<asio::awaitable<void>(EventCall call)>;
    using DisconnectHandler =
        std::function<void(const std::string& socket, const json& data, std::string_view reason)>;
    using ServerHandler = std::function<json(const json& args)>;
    void on_connect(ConnectHandler handler) { connect_handler_ = std::move(handler); }
    void on(std::string event, EventHandler handler);
    void on_disconnect(DisconnectHandler handler) { disconnect_handler_ = std::move(handler); }
    void on_server_side(std::string event, ServerHandler handler);
    void use(std::unique_ptr<EventsAdapter> adapter) { adapter_ = std::move(adapter); }

    // To clients of the whole cluster.

    /// Local clients have it at once; done when the other servers have been sent it. `data` is
    /// [event, args...].
    asio::awaitable<Result<void>> emit(Audience audience, json data, bool is_volatile = false);
    /// Asks each client of the cluster; what answered in time.
    asio::awaitable<Result<std::vector<json>>> emit_with_ack(Audience audience, json data,
                                                             milliseconds limit);
    asio::awaitable<Result<std::vector<SocketDescription>>> fetch_sockets(Audience audience);
    void cluster_join(const Audience& audience, const std::vector<std::string>& rooms);
    void cluster_leave(const Audience& audience, const std::vector<std::string>& rooms);
    void cluster_disconnect(const Audience& audience, bool close);
    asio::awaitable<Result<void>> server_side_emit(json data);

    // One socket of this instance.

    /// false: it is gone.
    bool emit_to(const std::string& socket, const json& data);
    /// The values of its acknowledgement. Errors: unavailable (gone), overloaded (no answer).
    asio::awaitable<Result<json>> ask(std::string socket, json data, milliseconds limit);
    [[nodiscard]] const json* data_of(const std::string& socket) const;
    RoomTable& room_table() { return table_; }

    // Requests from elsewhere.

    [[nodiscard]] bool has_room(const std::string& room) const override;
    [[nodiscard]] std::vector<std::string> rooms() const override { return table_.rooms(); }
    [[nodiscard]] std::vector<std::string> select(const Audience& audience) const override;
    [[nodiscard]] std::vector<SocketDescription> describe(const Audience& audience) const override;
    void deliver(const Audience& audience, const json& data, bool is_volatile) override;
    std::size_t deliver_with_ack(const Audience& audience, const json& data, milliseconds limit,
                                 std::function<void(json)> answered) override;
    void join(const Audience& audience, const std::vector<std::string>& rooms) override;
    void leave(const Audience& audience, const std::vector<std::string>& rooms) override;
    void disconnect(const Audience& audience, bool close) override;
    json server_side(const json& data) override;

    // For the SocketServer.

    asio::awaitable<std::optional<std::string>> enter(std::shared_ptr<EngineClient> client,
                                                      json auth);
    asio::awaitable<void> event(std::string socket, SocketPacket packet);
    void acknowledged(const std::string& socket, SocketPacket packet);
    void removed(const std::string& socket, std::string_view reason);
    /// Acknowledgements of this socket that are still to come.
    [[nodiscard]] std::size_t waiting_acks(const std::string& socket) const;
    /// Called when `disconnect` ends a socket by itself.
    std::function<void(EngineClient& client, const std::string& socket, bool close)> kicked;

private:
    using AckSink = std::function<void(std::optional<json> values)>;
    struct Socket {
        std::shared_ptr<EngineClient> client;
        json data;
        std::map<std::uint64_t, AckSink> acks{};
    };
    struct Survey;

    void send(const Socket& socket, const std::vector<EngineFrame>& frames);
    void forget_ack(std::uint64_t id, const std::vector<std::string>& sockets);

    asio::io_context& io_;
    std::string name_;
    Counter& received_;
    Counter& sent_;
    RoomTable table_;
    std::unordered_map<std::string, Socket> sockets_;
    std::map<std::string, EventHandler, std::less<>> handlers_;
    std::map<std::string, ServerHandler, std::less<>> server_handlers_;
    ConnectHandler connect_handler_;
    DisconnectHandler disconnect_handler_;
    std::unique_ptr<EventsAdapter> adapter_;
    std::uint64_t next_ack_ = 0;
};

} // namespace cluster::app
