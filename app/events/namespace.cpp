#include "app/events/namespace.hpp"

#include "app/base/completions.hpp"
#include "app/base/ids.hpp"
#include "app/base/trouble.hpp"

#include <boost/asio/steady_timer.hpp>

#include <ctime>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kSidBytes = 15;

SocketPacket event_packet(const std::string& nsp, const json& data)
{
    return {.type = SocketPacketType::event, .nsp = nsp, .data = data};
}

/// As the official server describes it to others; its headers and its secrets stay here.
json handshake_json(const ClientHandshake& handshake)
{
    return {{"headers", json::object()},
            {"time", ""},
            {"address", handshake.address},
            {"xdomain", handshake.cross_domain},
            {"secure", false},
            {"issued", handshake.issued_ms},
            {"url", handshake.url},
            {"query", json::object()},
            {"auth", json::object()}};
}

} // namespace

void Ack::operator()(json value)
{
    const auto client = client_.lock();
    if (!client || !id_) return;
    const SocketPacket packet{.type = SocketPacketType::ack,
                              .nsp = nsp_,
                              .id = std::exchange(id_, std::nullopt),
                              .data = json::array({std::move(value)})};
    for (const EngineFrame& frame : encode_packet(packet))
        client->send(frame);
}

/// Many clients are asked; whoever waits is woken when the last one has answered.
struct Namespace::Survey {
    explicit Survey(asio::io_context& io) : timer{io} {}
    asio::steady_timer timer;
    std::vector<json> answers;
    std::size_t expected = 0;
};

Namespace::Namespace(asio::io_context& io, std::string name, Counter& received, Counter& sent)
    : io_{io}, name_{std::move(name)}, received_{received}, sent_{sent}
{
}

Namespace::~Namespace() = default;

void Namespace::on(std::string event, EventHandler handler)
{
    handlers_[std::move(event)] = std::move(handler);
}

void Namespace::on_server_side(std::string event, ServerHandler handler)
{
    server_handlers_[std::move(event)] = std::move(handler);
}

asio::awaitable<std::optional<std::string>> Namespace::enter(std::shared_ptr<EngineClient> client,
                                                             json auth)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::string id = random_token(kSidBytes);
    std::expected<json, std::string> data = json::object();
    if (connect_handler_) {
        ConnectCall call{*this, id, std::move(auth), client->handshake()};
        data = co_await connect_handler_(std::move(call));
    }
    SocketPacket answer{.type = SocketPacketType::connect, .nsp = name_, .data = json{{"sid", id}}};
    if (!data) {
        answer.type = SocketPacketType::connect_error;
        answer.data = json{{"message", data.error()}};
    } else {
        table_.add(id);
        sockets_.emplace(id, Socket{.client = client, .data = std::move(*data)});
    }
    for (const EngineFrame& frame : encode_packet(answer))
        client->send(frame);
    if (!data) co_return std::nullopt;
    co_return id;
}

asio::awaitable<void> Namespace::event(std::string socket, SocketPacket packet)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto found = sockets_.find(socket);
    if (found == sockets_.end()) co_return;
    received_.add();
    json& data = *packet.data;
    const std::string event = data[0].is_string() ? data[0].get<std::string>() : data[0].dump();
    const auto handler = handlers_.find(event);
    if (handler == handlers_.end()) co_return; // nobody listens, as with an EventEmitter
    Ack ack;
    if (packet.id) ack = Ack{found->second.client, name_, *packet.id};
    data.erase(data.begin());
    EventCall call{*this, std::move(socket), event, std::move(data), std::move(ack)};
    co_await handler->second(std::move(call));
}

void Namespace::acknowledged(const std::string& socket, SocketPacket packet)
{
    const auto found = sockets_.find(socket);
    if (found == sockets_.end() || !packet.id) return;
    auto waiting = found->second.acks.extract(*packet.id);
    if (waiting) waiting.mapped()(std::move(packet.data));
}

void Namespace::removed(const std::string& socket, std::string_view reason)
{
    auto found = sockets_.extract(socket);
    if (!found) return;
    if (disconnect_handler_) disconnect_handler_(socket, found.mapped().data, reason);
    table_.remove(socket);
    for (auto& [id, sink] : found.mapped().acks)
        sink(std::nullopt);
}

std::size_t Namespace::waiting_acks(const std::string& socket) const
{
    const auto found = sockets_.find(socket);
    return found == sockets_.end() ? 0 : found->second.acks.size();
}

void Namespace::send(const Socket& socket, const std::vector<EngineFrame>& frames)
{
    sent_.add();
    const auto client = socket.client; // sending may remove the socket
    for (const EngineFrame& frame : frames)
        client->send(frame);
}

bool Namespace::has_room(const std::string& room) const
{
    return table_.has_room(room);
}

std::vector<std::string> Namespace::select(const Audience& audience) const
{
    return table_.select(audience);
}

const json* Namespace::data_of(const std::string& socket) const
{
    const auto found = sockets_.find(socket);
    return found == sockets_.end() ? nullptr : &found->second.data;
}

std::vector<SocketDescription> Namespace::describe(const Audience& audience) const
{
    std::vector<SocketDescription> descriptions;
    for (const std::string& id : table_.select(audience)) {
        const auto found = sockets_.find(id);
        if (found == sockets_.end()) continue;
        descriptions.push_back({.id = id,
                                .handshake = handshake_json(found->second.client->handshake()),
                                .rooms = table_.rooms_of(id),
                                .data = found->second.data});
    }
    return descriptions;
}

void Namespace::deliver(const Audience& audience, const json& data, bool is_volatile)
{
    const auto ids = table_.select(audience);
    if (ids.empty()) return;
    const auto frames = encode_packet(event_packet(name_, data));
    for (const std::string& id : ids) {
        const auto found = sockets_.find(id); // an earlier one's loss may have removed it
        if (found == sockets_.end()) continue;
        if (!is_volatile || found->second.client->writable()) send(found->second, frames);
    }
}

std::size_t Namespace::deliver_with_ack(const Audience& audience, const json& data,
                                        milliseconds limit, std::function<void(json)> answered)
{
    const auto ids = table_.select(audience);
    if (ids.empty()) return 0;
    SocketPacket packet = event_packet(name_, data);
    packet.id = next_ack_++;
    const auto frames = encode_packet(packet);
    for (const std::string& id : ids) {
        const auto found = sockets_.find(id);
        if (found == sockets_.end()) continue;
        found->second.acks[*packet.id] = [answered](std::optional<json> values) {
            if (values) answered(values->empty() ? json(nullptr) : std::move(values->front()));
        };
        send(found->second, frames);
    }
    auto timer = std::make_shared<asio::steady_timer>(io_, limit);
    timer->async_wait([this, timer, ids, id = *packet.id](const boost::system::error_code& code) {
        if (!code) forget_ack(id, ids);
    });
    return ids.size();
}

void Namespace::forget_ack(std::uint64_t id, const std::vector<std::string>& sockets)
{
    for (const std::string& socket : sockets)
        if (const auto found = sockets_.find(socket); found != sockets_.end())
            found->second.acks.erase(id);
}

void Namespace::join(const Audience& audience, const std::vector<std::string>& rooms)
{
    for (const std::string& id : table_.select(audience))
        for (const std::string& room : rooms)
            table_.join(id, room);
}

void Namespace::leave(const Audience& audience, const std::vector<std::string>& rooms)
{
    for (const std::string& id : table_.select(audience))
        for (const std::string& room : rooms)
            table_.leave(id, room);
}

void Namespace::disconnect(const Audience& audience, bool close)
{
    for (const std::string& id : table_.select(audience)) {
        const auto found = sockets_.find(id);
        if (found == sockets_.end()) continue;
        const auto client = found->second.client;
        if (!close) {
            const SocketPacket packet{.type = SocketPacketType::disconnect, .nsp = name_};
            for (const EngineFrame& frame : encode_packet(packet))
                client->send(frame);
            removed(id, "server namespace disconnect");
        }
        if (kicked) kicked(*client, id, close);
    }
}

json Namespace::server_side(const json& data)
{
    if (!data.is_array() || data.empty() || !data[0].is_string()) return nullptr;
    const auto handler = server_handlers_.find(data[0].get_ref<const std::string&>());
    if (handler == server_handlers_.end()) return nullptr;
    json args = data;
    args.erase(args.begin());
    return handler->second(args);
}

asio::awaitable<Result<void>> Namespace::emit(Audience audience, json data, bool is_volatile)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    deliver(audience, data, is_volatile);
    if (!adapter_) co_return Result<void>{};
    co_return co_await adapter_->broadcast(std::move(audience), std::move(data), is_volatile);
}

asio::awaitable<Result<std::vector<json>>> Namespace::emit_with_ack(Audience audience, json data,
                                                                    milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto survey = std::make_shared<Survey>(io_);
    survey->timer.expires_after(limit);
    survey->expected = deliver_with_ack(audience, data, limit, [survey](json answer) {
        survey->answers.push_back(std::move(answer));
        if (survey->answers.size() == survey->expected) survey->timer.cancel();
    });
    Result<std::vector<json>> others;
    if (adapter_) others = co_await adapter_->ask(std::move(audience), std::move(data), limit);
    if (survey->answers.size() < survey->expected)
        static_cast<void>(co_await survey->timer.async_wait(kAsValue));
    if (!others) co_return std::unexpected(others.error());
    others->insert(others->begin(), survey->answers.begin(), survey->answers.end());
    co_return others;
}

asio::awaitable<Result<std::vector<SocketDescription>>> Namespace::fetch_sockets(Audience audience)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    Result<std::vector<SocketDescription>> all = describe(audience);
    if (!adapter_) co_return all;
    auto others = co_await adapter_->fetch(std::move(audience));
    if (!others) co_return others;
    all->insert(all->end(), others->begin(), others->end());
    co_return all;
}

void Namespace::cluster_join(const Audience& audience, const std::vector<std::string>& rooms)
{
    if (adapter_) return adapter_->join(audience, rooms);
    join(audience, rooms);
}

void Namespace::cluster_leave(const Audience& audience, const std::vector<std::string>& rooms)
{
    if (adapter_) return adapter_->leave(audience, rooms);
    leave(audience, rooms);
}

void Namespace::cluster_disconnect(const Audience& audience, bool close)
{
    if (adapter_) return adapter_->disconnect(audience, close);
    disconnect(audience, close);
}

asio::awaitable<Result<void>> Namespace::server_side_emit(json data)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    if (!adapter_) co_return Result<void>{};
    co_return co_await adapter_->server_side(std::move(data));
}

bool Namespace::emit_to(const std::string& socket, const json& data)
{
    const auto found = sockets_.find(socket);
    if (found == sockets_.end()) return false;
    send(found->second, encode_packet(event_packet(name_, data)));
    return true;
}

asio::awaitable<Result<json>> Namespace::ask(std::string socket, json data, milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto found = sockets_.find(socket);
    if (found == sockets_.end()) co_return trouble(Trouble::unavailable, "the client has gone");
    struct Wait {
        asio::steady_timer timer;
        std::optional<json> values{};
        bool over = false;
    };
    const auto wait = std::make_shared<Wait>(asio::steady_timer{io_, limit});
    SocketPacket packet = event_packet(name_, data);
    const std::uint64_t id = next_ack_++;
    packet.id = id;
    found->second.acks[id] = [wait](std::optional<json> values) {
        wait->values = std::move(values);
        wait->over = true;
        wait->timer.cancel();
    };
    send(found->second, encode_packet(packet));
    if (!wait->over) static_cast<void>(co_await wait->timer.async_wait(kAsValue));
    if (wait->values) co_return std::move(*wait->values);
    forget_ack(id, {socket});
    co_return wait->over ? trouble(Trouble::unavailable, "the client has gone")
                         : trouble(Trouble::overloaded, "the client did not answer");
}

} // namespace cluster::app
