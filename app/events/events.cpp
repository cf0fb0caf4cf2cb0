#include "app/events/events.hpp"

#include "app/events/redis_adapter.hpp"

#include <boost/asio/co_spawn.hpp>

#include <string_view>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::string_view kProjectRoom = "project:";
constexpr const char* kCheckRoom = "clusterapp:check-room"; // between servers
constexpr std::size_t kMaxName = 200;
constexpr std::size_t kMaxRooms = 1000; // of one client

json done(std::string_view room)
{
    json answer = {{"success", true}};
    if (!room.empty()) answer["room"] = room;
    return answer;
}

json failed(std::string_view code, std::string_view message)
{
    return {{"success", false}, {"error", {{"code", code}, {"message", message}}}};
}

json failed(const ipc::Error& error)
{
    const auto kind = kind_of(error);
    if (kind == Trouble::unavailable || kind == Trouble::overloaded ||
        kind == Trouble::unknown_outcome)
        return failed("SERVICE_UNAVAILABLE", "something that this needs is away; try again");
    return failed("INTERNAL_ERROR", "this could not be done");
}

/// The text `value`, or the first of its members `names` that is a text; "" when there is none.
std::string text_in(const json& value, std::initializer_list<const char*> names)
{
    if (value.is_string()) return value.get<std::string>();
    if (!value.is_object()) return "";
    for (const char* const name : names)
        if (const auto found = value.find(name); found != value.end() && found->is_string())
            return found->get<std::string>();
    return "";
}

/// The project that join and leave name: "ID", "project:ID" or {"projectId": "ID"}; nullopt for
/// anything else.
std::optional<std::string> project_in(const json& args)
{
    if (args.empty()) return std::nullopt;
    std::string id = text_in(args[0], {"projectId", "project", "room"});
    if (id.starts_with(kProjectRoom)) id.erase(0, kProjectRoom.size());
    if (id.empty() || id.size() > kMaxName) return std::nullopt;
    return id;
}

Caller caller_in(const json& data)
{
    return {.user_id = data.value("user_id", ""),
            .token_id = data.value("token_id", ""),
            .session_id = data.value("session_id", ""),
            .expires_s = data.value("expires_s", std::int64_t{0}),
            .role = data.value("role", "")};
}

/// Whether it came with a token. `data`: what was kept of it; nullptr when it has gone.
bool known(const json* data)
{
    return data != nullptr && data->contains("user_id");
}

} // namespace

Events::Events(asio::io_context& io, const ipc::Clock& clock, EventsOptions options, Redis* redis,
               Metrics& metrics, Log& log)
    : io_{io}, clock_{clock}, options_{std::move(options)}, log_{log},
      server_{io, options_, metrics, log}, engine_{io, clock, options_, server_}
{
    if (redis == nullptr) open_host_channel();
    server_.heartbeat = [this](Namespace& nsp, const std::string& socket) {
        if (known(nsp.data_of(socket))) spawn(check_token(nsp, socket), "checking a token again");
    };
    for (const std::string& name : options_.namespaces) {
        Namespace& nsp = server_.of(name);
        nsp.on_connect([this](ConnectCall call) { return enter(std::move(call)); });
        nsp.on("message", [this](EventCall call) { return message(std::move(call)); });
        nsp.on("join", [this](EventCall call) { return join(std::move(call)); });
        nsp.on("leave", [this](EventCall call) { return leave(std::move(call)); });
        nsp.on_server_side(kCheckRoom, [this](const json& args) {
            if (!args.empty() && args[0].is_string())
                spawn(check_here(args[0].get<std::string>()), "checking a room again");
            return json(nullptr);
        });
        if (redis != nullptr)
            nsp.use(std::make_unique<RedisAdapter>(io, *redis, nsp, name, options_, log));
        else
            join_host(nsp);
    }
}

void Events::open_host_channel()
{
    log_.warn("Socket.IO running without Redis adapter: events reach the clients of this host "
              "alone; set REDIS_URL to connect several hosts");
    host_ = std::make_unique<HostChannel>(io_, options_.host_folder, log_);
    const auto opened = host_->open([this](std::string_view message) {
        const auto found = on_host_.find(HostAdapter::nsp_of(message));
        if (found != on_host_.end()) found->second->heard(message);
    });
    if (!opened)
        log_.warn("events reach the clients of this instance alone",
                  {{"error", opened.error().text()}});
}

void Events::join_host(Namespace& nsp)
{
    auto adapter = std::make_unique<HostAdapter>(*host_, nsp, nsp.name());
    on_host_[nsp.name()] = adapter.get();
    nsp.use(std::move(adapter));
}

std::string Events::room_of(std::string_view project)
{
    return std::string{kProjectRoom} + std::string{project};
}

asio::awaitable<std::expected<json, std::string>> Events::enter(ConnectCall call)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::expected<json, std::string> data = json::object();
    const auto token = call.auth.find("token");
    const bool given = token != call.auth.end() && token->is_string() && access_.caller_of;
    if (!given) {
        if (options_.auth_required) data = std::unexpected("authentication is required");
        co_return data;
    }
    std::string text = token->get<std::string>();
    if (text.starts_with("Bearer ")) text.erase(0, 7);
    const auto caller = co_await access_.caller_of(std::move(text));
    if (!caller)
        data = std::unexpected("the token cannot be checked now");
    else if (!*caller)
        data = std::unexpected("the token is not valid");
    else
        data = json{{"user_id", (*caller)->user_id},
                    {"token_id", (*caller)->token_id},
                    {"session_id", (*caller)->session_id},
                    {"expires_s", (*caller)->expires_s},
                    {"role", (*caller)->role}};
    co_return data;
}

asio::awaitable<void> Events::join(EventCall call)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto project = project_in(call.args);
    if (!project) co_return call.ack(failed("INVALID_PROJECT", "join must name a project: \"ID\""));
    const auto allowed = co_await may(access_.may_join, call.nsp.data_of(call.socket), *project);
    if (!allowed) co_return call.ack(failed(allowed.error()));
    if (!*allowed)
        co_return call.ack(failed("FORBIDDEN", "the project is not there, or not for you"));
    RoomTable& table = call.nsp.room_table();
    if (table.rooms_of(call.socket).size() > kMaxRooms)
        co_return call.ack(failed("TOO_MANY_ROOMS", "leave another project first"));
    const std::string room = room_of(*project);
    table.join(call.socket, room);
    call.ack(done(room));
}

asio::awaitable<void> Events::leave(EventCall call)
{
    const auto project = project_in(call.args);
    if (!project)
        co_return call.ack(failed("INVALID_PROJECT", "leave must name a project: \"ID\""));
    const std::string room = room_of(*project);
    call.nsp.room_table().leave(call.socket, room);
    call.ack(done(room));
}

asio::awaitable<void> Events::message(EventCall call)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    Audience audience;
    std::string room;
    if (!call.args.empty() && call.args[0].is_object()) room = text_in(call.args[0], {"room"});
    if (!room.empty()) {
        const RoomTable& table = call.nsp.room_table();
        if (!table.is_in(call.socket, room)) room = room_of(room);
        if (!table.is_in(call.socket, room))
            co_return call.ack(failed("NOT_IN_ROOM", "join the room first"));
        audience.rooms.push_back(room);
    }
    json data = json::array();
    data.push_back("message");
    for (json& arg : call.args)
        data.push_back(std::move(arg));
    const auto sent = co_await call.nsp.emit(std::move(audience), std::move(data));
    call.ack(sent ? done(room) : failed(sent.error()));
}

void Events::emit(Audience audience, std::string event, json data)
{
    Namespace& nsp = server_.of("/");
    json packet = json::array();
    packet.push_back(std::move(event));
    packet.push_back(std::move(data));
    asio::co_spawn(io_, nsp.emit(std::move(audience), std::move(packet)),
                   [this](const std::exception_ptr&, const Result<void>& sent) {
                       if (!sent)
                           log_.warn("an event reached the clients of this instance alone",
                                     {{"error", sent.error().text()}});
                   });
}

void Events::emit_to_room(std::string room, std::string event, json data)
{
    Audience audience;
    audience.rooms.push_back(std::move(room));
    emit(std::move(audience), std::move(event), std::move(data));
}

void Events::emit_to_all(std::string event, json data)
{
    emit({}, std::move(event), std::move(data));
}

void Events::spawn(asio::awaitable<void> work, const char* what)
{
    asio::co_spawn(io_, std::move(work), [this, what](const std::exception_ptr& failure) {
        if (failure) log_.error("Socket.IO: something failed", {{"what", what}});
    });
}

void Events::check_room_again(std::string project)
{
    json told = json::array({kCheckRoom, project});
    asio::co_spawn(io_, server_.of("/").server_side_emit(std::move(told)),
                   [this](const std::exception_ptr&, const Result<void>& sent) {
                       if (!sent)
                           log_.warn("who left a project may still hear it on other instances",
                                     {{"error", sent.error().text()}});
                   });
    spawn(check_here(std::move(project)), "checking a room again");
}

asio::awaitable<void> Events::check_here(std::string project)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const std::string room = room_of(project);
    Audience audience;
    audience.rooms.push_back(room);
    for (const std::string& name : options_.namespaces) {
        Namespace& nsp = server_.of(name);
        for (const std::string& socket : nsp.select(audience)) {
            const auto allowed = co_await may(access_.may_stay, nsp.data_of(socket), project);
            // While nobody can say, they stay: the next change asks again.
            if (allowed && !*allowed) nsp.room_table().leave(socket, room);
        }
    }
}

/// With each heartbeat: a connection ends with its token. While nobody can say, it stays.
asio::awaitable<void> Events::check_token(Namespace& nsp, std::string socket)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const json* const data = nsp.data_of(socket);
    if (data == nullptr) co_return;
    const Caller caller = caller_in(*data);
    bool holds = caller.expires_s * 1000 > clock_.wall_ms();
    if (holds && access_.holds) {
        const auto asked = co_await access_.holds(caller);
        holds = !asked || *asked;
    }
    if (!holds) nsp.disconnect({.rooms = {socket}}, false);
}

/// `data`: what was kept of a socket when it entered; nullptr when it has gone.
asio::awaitable<Result<bool>> Events::may(const MayBeIn& be_in, const json* data,
                                          std::string project)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    if (data == nullptr || !be_in) co_return false;
    const Caller caller = caller_in(*data);
    if (!caller.user_id.empty() && caller.expires_s * 1000 <= clock_.wall_ms()) co_return false;
    const Caller* const known = caller.user_id.empty() ? nullptr : &caller;
    co_return co_await be_in(known, std::move(project));
}

void Events::drain()
{
    engine_.refuse_new();
    spawn(server_.drain(options_.drain), "the drain");
}

void Events::close()
{
    on_host_.clear();
    for (const std::string& name : options_.namespaces)
        server_.of(name).use(nullptr);
    if (host_) host_->close();
}

} // namespace cluster::app
