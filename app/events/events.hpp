// The role as the rest of the server sees it: Socket.IO with the events of the application.
//
//   join, leave   a project's room; the project's owner and collaborators may
//   message       relayed to all clients, or to a room that the sender is in
//   project:update, export:progress, …   from the server, by `emit_to_room` and `emit_to_all`
#pragma once

#include "app/events/host_adapter.hpp"
#include "app/events/socket_server.hpp"
#include "app/redis/redis.hpp"

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace cluster::app {

/// What the events ask of other roles. Each may be empty: nobody is known then, and no project is
/// open to anybody.
struct EventsAccess {
    /// Whom a token (an access token as for /api) stands for. nullopt: it does not hold.
    std::function<asio::awaitable<Result<std::optional<Caller>>>(std::string token)> caller_of{};
    /// Whether the token of a caller holds still (its time is not looked at).
    std::function<asio::awaitable<Result<bool>>(Caller caller)> holds{};
    /// Whether `caller` (nullptr: a client without a token) may join the project's room.
    std::function<asio::awaitable<Result<bool>>(const Caller* caller, std::string project)>
        may_join{};
    /// Whether who is in it may stay after the project has changed.
    decltype(may_join) may_stay{};
};

class Events {
public:
    /// `redis` may be nullptr: then the clients of other hosts hear nothing, which is logged.
    /// Everything given must outlive it. Subscribes at once.
    Events(asio::io_context& io, const ipc::Clock& clock, EventsOptions options, Redis* redis,
           Metrics& metrics, Log& log);

    /// Who may do what; before the first client comes. Without it nobody is known.
    void use(EventsAccess access) { access_ = std::move(access); }

    void add_routes(Router& router) { engine_.add_routes(router); }

    /// To every client of the cluster that has joined `room` ("project:ID"); from any role, waits
    /// for nothing. What cannot be passed on to other instances is logged.
    void emit_to_room(std::string room, std::string event, json data);
    void emit_to_all(std::string event, json data);
    /// "project:ID", the room of a project.
    [[nodiscard]] static std::string room_of(std::string_view project);

    /// Who is in a project's room is asked for again whether they may, on every instance: for when
    /// the project was removed or its collaborators changed. Waits for nothing.
    void check_room_again(std::string project);

    /// See SocketServer::drain; done after at most SOCKETIO_DRAIN_MS. To be called when the server
    /// begins to drain: its connections end by this.
    void drain();
    /// After the last connection has ended: no message of other servers is heard any more.
    void close();

    SocketServer& server() { return server_; }

private:
    asio::awaitable<std::expected<json, std::string>> enter(ConnectCall call);
    asio::awaitable<void> join(EventCall call);
    asio::awaitable<void> leave(EventCall call);
    asio::awaitable<void> message(EventCall call);
    void emit(Audience audience, std::string event, json data);
    using MayBeIn = decltype(EventsAccess::may_join);
    asio::awaitable<Result<bool>> may(const MayBeIn& be_in, const json* data, std::string project);
    asio::awaitable<void> check_here(std::string project);
    asio::awaitable<void> check_token(Namespace& nsp, std::string socket);
    void spawn(asio::awaitable<void> work, const char* what);
    void open_host_channel();
    void join_host(Namespace& nsp);

    asio::io_context& io_;
    const ipc::Clock& clock_;
    EventsOptions options_;
    EventsAccess access_;
    Log& log_;
    std::unique_ptr<HostChannel> host_;                        ///< without Redis
    std::map<std::string, HostAdapter*, std::less<>> on_host_; ///< by namespace, which owns it
    SocketServer server_;
    Engine engine_;
};

} // namespace cluster::app
