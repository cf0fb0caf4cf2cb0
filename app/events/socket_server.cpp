#include "app/events/socket_server.hpp"

#include "app/base/completions.hpp"
#include "app/events/event_budget.hpp"

#include <boost/asio/co_spawn.hpp>

#include <utility>
#include <vector>

namespace cluster::app {
namespace {

// What one client may have waiting for its handlers before it is not read any further.
constexpr std::size_t kMaxQueuedPackets = 64;
constexpr std::size_t kMaxQueuedBytes = 1'000'000;
/// For a client that was told to go.
constexpr milliseconds kGoodbye{1000};
/// Who has become idle is let go at once; this looks at what nobody tells, and whether time is up.
constexpr milliseconds kDrainStep{50};

milliseconds moment()
{
    const auto now = asio::steady_timer::clock_type::now().time_since_epoch();
    return std::chrono::duration_cast<milliseconds>(now);
}

} // namespace

struct SocketServer::Client {
    Client(asio::io_context& io, std::shared_ptr<EngineClient> connection, std::size_t rate)
        : engine{std::move(connection)}, budget{rate, moment()}, patience{std::in_place, io},
          room{io}
    {
    }

    struct Queued {
        SocketPacket packet;
        std::size_t bytes = 0; ///< of its text
    };

    std::shared_ptr<EngineClient> engine;
    PacketDecoder decoder;
    EventBudget budget;
    std::map<std::string, std::string> sockets; ///< namespace → socket id
    std::deque<Queued> queue;
    std::size_t queued_bytes = 0;
    std::optional<asio::steady_timer> patience; ///< until it has entered a namespace
    asio::steady_timer room;                    ///< cancelled when the queue has room again
    bool working = false;
    bool flooded = false; ///< it has sent too much, and is not listened to any more
    bool gone = false;
};

SocketServer::SocketServer(asio::io_context& io, const EventsOptions& options, Metrics& metrics,
                           Log& log)
    : io_{io}, options_{options}, log_{log},
      gauge_{metrics.gauge("socketio_clients", "Connected Socket.IO clients", {})},
      received_{
          metrics.counter("socketio_events_total", "Socket.IO events", {{"direction", "in"}})},
      sent_{metrics.counter("socketio_events_total", "Socket.IO events", {{"direction", "out"}})},
      change_{io}
{
    for (const std::string& name : options.namespaces)
        of(name);
}

SocketServer::~SocketServer() = default;

Namespace& SocketServer::of(const std::string& name)
{
    auto& slot = namespaces_[name];
    if (slot) return *slot;
    slot = std::make_unique<Namespace>(io_, name, received_, sent_);
    slot->kicked = [this, name](EngineClient& engine, const std::string&, bool close) {
        const auto found = clients_.find(engine.sid());
        if (found == clients_.end()) return;
        const ClientPtr client = found->second;
        if (close) return client->engine->close(CloseReason::forced_close);
        client->sockets.erase(name);
    };
    return *slot;
}

Namespace* SocketServer::find(const std::string& name)
{
    const auto found = namespaces_.find(name);
    return found == namespaces_.end() ? nullptr : found->second.get();
}

void SocketServer::on_open(const std::shared_ptr<EngineClient>& engine)
{
    const auto client = std::make_shared<Client>(io_, engine, options_.max_events);
    clients_.emplace(engine->sid(), client);
    gauge_.add(1);
    client->patience->expires_after(options_.connect_timeout);
    client->patience->async_wait(
        [weak = std::weak_ptr{client}](const boost::system::error_code& code) {
            const auto still = code ? nullptr : weak.lock();
            if (still && still->sockets.empty()) still->engine->close(CloseReason::forced_close);
        });
}

void SocketServer::on_close(EngineClient& engine, CloseReason reason)
{
    auto found = clients_.extract(engine.sid());
    if (!found) return;
    gauge_.add(-1);
    log_.debug("Socket.IO client left", {{"sid", engine.sid()}, {"reason", text_of(reason)}});
    Client& client = *found.mapped();
    client.gone = true;
    client.patience.reset();
    client.queue.clear();
    client.room.cancel();
    for (const auto& [name, socket] : std::exchange(client.sockets, {}))
        if (Namespace* const nsp = find(name)) nsp->removed(socket, text_of(reason));
    if (clients_.empty()) change_.cancel();
}

void SocketServer::on_heartbeat(EngineClient& engine)
{
    const auto found = clients_.find(engine.sid());
    if (found == clients_.end()) return;
    const ClientPtr client = found->second;
    const auto sockets = client->sockets; // the hook may end one
    for (const auto& [name, socket] : sockets)
        if (Namespace* const nsp = find(name); nsp != nullptr && heartbeat) heartbeat(*nsp, socket);
    let_go(*client);
}

/// Told in every namespace, so that the official client does not connect again by itself.
void SocketServer::refuse_flood(Client& client)
{
    const EngineClient& engine = *client.engine;
    log_.warn("a Socket.IO client sends too many events",
              {{"sid", engine.sid()}, {"client", engine.handshake().address}});
    const auto sockets = client.sockets;
    for (const auto& [name, socket] : sockets)
        if (Namespace* const nsp = find(name)) nsp->disconnect({.rooms = {socket}}, false);
    client.flooded = true;
    client.queue.clear(); // of a namespace that it is not in any more
    client.queued_bytes = 0;
    client.room.cancel();
    // The official client closes by itself; were it closed at once, it might see that first.
    client.patience.emplace(io_, kGoodbye);
    client.patience->async_wait([engine = client.engine](const boost::system::error_code& code) {
        if (!code) engine->close(CloseReason::too_many_events);
    });
}

/// A client that breaks the protocol.
void SocketServer::refuse(Client& client, std::string_view why)
{
    log_.debug("Socket.IO client breaks the protocol",
               {{"sid", client.engine->sid()}, {"reason", why}});
    client.engine->close(CloseReason::parse_error);
}

asio::awaitable<void> SocketServer::on_message(std::shared_ptr<EngineClient> engine,
                                               EnginePacket message)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto found = clients_.find(engine->sid());
    if (found == clients_.end()) co_return;
    const ClientPtr client = found->second;
    if (client->flooded) co_return;
    if (!client->budget.take(moment())) co_return refuse_flood(*client);
    const std::size_t bytes = message.data.size();
    auto packet = message.binary ? client->decoder.add_binary(std::move(message.data))
                                 : client->decoder.add_text(message.data);
    if (!packet) co_return refuse(*client, packet.error().what);
    if (!*packet) co_return; // its attachments come
    if ((*packet)->type == SocketPacketType::ack) {
        const auto socket = client->sockets.find((*packet)->nsp);
        if (socket == client->sockets.end())
            co_return refuse(*client, "an acknowledgement before it has entered the namespace");
        if (Namespace* const nsp = find((*packet)->nsp))
            nsp->acknowledged(socket->second, std::move(**packet));
        co_return let_go(*client);
    }
    client->queue.push_back({std::move(**packet), bytes});
    client->queued_bytes += bytes;
    start_work(client);
    while (!client->gone &&
           (client->queue.size() >= kMaxQueuedPackets || client->queued_bytes >= kMaxQueuedBytes)) {
        // Ends with the next packet that is done: each handler has limits of its own.
        client->room.expires_at(asio::steady_timer::time_point::max());
        static_cast<void>(co_await client->room.async_wait(kAsValue));
    }
}

void SocketServer::start_work(const ClientPtr& client)
{
    if (std::exchange(client->working, true)) return;
    asio::co_spawn(io_, work(client), [this, client](const std::exception_ptr& failure) {
        client->working = false;
        try {
            if (failure) std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            log_.error("a Socket.IO handler failed", {{"error", error.what()}});
        }
        if (!client->queue.empty()) start_work(client); // what came behind the one that failed
        let_go(*client);
    });
}

asio::awaitable<void> SocketServer::work(ClientPtr client)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!client->queue.empty()) {
        Client::Queued next = std::move(client->queue.front());
        client->queue.pop_front();
        client->queued_bytes -= std::min(client->queued_bytes, next.bytes);
        client->room.cancel();
        co_await handle(client, std::move(next.packet));
    }
}

asio::awaitable<void> SocketServer::handle(ClientPtr client, SocketPacket packet)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    if (client->gone) co_return;
    const auto socket = client->sockets.find(packet.nsp);
    const bool inside = socket != client->sockets.end();
    if (!inside && packet.type == SocketPacketType::connect)
        co_return co_await connect(std::move(client), std::move(packet));
    Namespace* const nsp = find(packet.nsp);
    if (inside && nsp != nullptr && packet.type == SocketPacketType::event)
        co_return co_await nsp->event(socket->second, std::move(packet));
    if (inside && packet.type == SocketPacketType::disconnect) co_return leave(*client, packet.nsp);
    refuse(*client, inside ? "it has entered the namespace already"
                           : "a packet before it has entered the namespace");
}

asio::awaitable<void> SocketServer::connect(ClientPtr client, SocketPacket packet)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    Namespace* const nsp = find(packet.nsp);
    if (nsp == nullptr) {
        const SocketPacket answer{.type = SocketPacketType::connect_error,
                                  .nsp = packet.nsp,
                                  .data = json{{"message", "Invalid namespace"}}};
        for (const EngineFrame& frame : encode_packet(answer))
            client->engine->send(frame);
        co_return;
    }
    json auth = packet.data ? std::move(*packet.data) : json::object();
    auto socket = co_await nsp->enter(client->engine, std::move(auth));
    if (!socket) co_return;
    if (client->gone) {
        nsp->removed(*socket, text_of(CloseReason::transport_close));
        co_return;
    }
    client->sockets.emplace(packet.nsp, std::move(*socket));
    client->patience.reset();
}

void SocketServer::leave(Client& client, const std::string& nsp)
{
    auto socket = client.sockets.extract(nsp);
    if (Namespace* const left = find(nsp))
        left->removed(socket.mapped(), "client namespace disconnect");
}

bool SocketServer::is_idle(const Client& client)
{
    if (client.working || !client.queue.empty() || !client.engine->caught_up()) return false;
    for (const auto& [name, socket] : client.sockets)
        if (Namespace* const nsp = find(name); nsp != nullptr && nsp->waiting_acks(socket) > 0)
            return false;
    return true;
}

/// While draining: once nothing is left to do for it.
void SocketServer::let_go(Client& client)
{
    if (draining_ && !client.gone && is_idle(client))
        client.engine->close(CloseReason::server_shutting_down);
}

asio::awaitable<void> SocketServer::drain(milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto end = asio::steady_timer::clock_type::now() + limit;
    std::vector<std::shared_ptr<EngineClient>> all;
    for (const auto& [sid, client] : clients_)
        all.push_back(client->engine);
    draining_ = true;
    for (const auto& engine : std::exchange(all, {}))
        engine->mark(); // may lose it
    while (!clients_.empty()) {
        const bool over = asio::steady_timer::clock_type::now() >= end;
        std::vector<std::shared_ptr<EngineClient>> ready;
        for (const auto& [sid, client] : clients_)
            if (over || is_idle(*client)) ready.push_back(client->engine);
        for (const auto& engine : ready)
            engine->close(CloseReason::server_shutting_down);
        if (clients_.empty() || over) break;
        change_.expires_after(kDrainStep);
        static_cast<void>(co_await change_.async_wait(kAsValue));
    }
}

} // namespace cluster::app
