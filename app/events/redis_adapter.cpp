#include "app/events/redis_adapter.hpp"

#include "app/base/completions.hpp"
#include "app/base/ids.hpp"

#include <boost/asio/co_spawn.hpp>

#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kIdBytes = 6;
constexpr std::size_t kAnyServer = 0;
/// Later than we are, after all of us have lost the same Redis.
constexpr milliseconds kOthersComeBack{1000};

json response_to(const AdapterAsk& request)
{
    return {{"requestId", request.request_id}};
}

} // namespace

bool RedisAdapter::Wait::complete(bool by_client) const
{
    if (!expected_servers || servers < *expected_servers) return false;
    return !by_client || answers.size() >= expected_clients;
}

RedisAdapter::RedisAdapter(asio::io_context& io, Redis& redis, LocalSockets& local, std::string nsp,
                           const EventsOptions& options, Log& log)
    : io_{io}, redis_{redis}, local_{local}, options_{options}, log_{log}, nsp_{std::move(nsp)},
      uid_{random_token(kIdBytes)}, channel_{options.key + "#" + nsp_ + "#"},
      requests_{options.key + "-request#" + nsp_ + "#"},
      responses_{options.key + "-response#" + nsp_ + "#"}, settled_{io},
      alive_{std::make_shared<bool>(true)}
{
    subscription_ = redis.subscribe(
        {.channels = {requests_, responses_, responses_ + uid_ + "#"},
         .patterns = {channel_ + "*"},
         .message = [this](std::string_view pattern, std::string_view channel,
                           std::string_view bytes) { heard(pattern, channel, bytes); },
         .connected = [this] { connected(); }});
}

RedisAdapter::~RedisAdapter()
{
    *alive_ = false;
    subscription_.reset();
}

void RedisAdapter::connected()
{
    const json fields = {{"namespace", nsp_}, {"redis", redis_.form()}, {"uid", uid_}};
    if (!std::exchange(was_connected_, true))
        return log_.info("Socket.IO uses the Redis adapter", fields);
    settled_.expires_after(kOthersComeBack);
    log_.warn("Redis adapter: connected again; events of other servers may have been missed",
              fields);
}

/// A Redis that goes takes the subscriptions of all servers with it. Those of others are back in a
/// moment when ours is; before, who is told that it worked would not have been heard.
bool RedisAdapter::others_listen() const
{
    return subscription_->up() && asio::steady_timer::clock_type::now() >= settled_.expiry();
}

void RedisAdapter::heard(std::string_view pattern, std::string_view channel, std::string_view bytes)
{
    if (!pattern.empty()) return take_broadcast(channel, bytes);
    if (channel == requests_) return take_request(bytes);
    if (channel.starts_with(responses_)) take_response(bytes);
}

void RedisAdapter::take_broadcast(std::string_view channel, std::string_view bytes)
{
    // "socket.io#/#ROOM#": one room alone, which can be told before anything is decoded.
    if (!channel.starts_with(channel_)) return;
    channel.remove_prefix(channel_.size());
    if (!channel.empty()) {
        const std::string room{channel.substr(0, channel.size() - 1)};
        if (!local_.has_room(room)) return;
    }
    const auto broadcast = parse_broadcast(bytes);
    if (!broadcast)
        return log_.warn("Redis adapter: a broadcast that cannot be read",
                         {{"namespace", nsp_}, {"reason", broadcast.error().what}});
    if (broadcast->uid == uid_ || broadcast->nsp != nsp_) return;
    local_.deliver(broadcast->audience, broadcast->data, broadcast->is_volatile);
}

void RedisAdapter::take_request(std::string_view bytes)
{
    const auto request = parse_request(bytes);
    if (!request)
        return log_.warn("Redis adapter: a request that cannot be read",
                         {{"namespace", nsp_}, {"reason", request.error().what}});
    const bool own = request->uid == uid_;
    json response = response_to(*request);
    switch (request->type) {
    case AdapterRequest::sockets:
        if (own) return;
        response["sockets"] = local_.select({.rooms = request->rooms});
        return respond(response);
    case AdapterRequest::all_rooms:
        if (own) return;
        response["rooms"] = local_.rooms();
        return respond(response);
    case AdapterRequest::remote_join:
    case AdapterRequest::remote_leave:
    case AdapterRequest::remote_disconnect:
        return request->addressed ? change_many(*request) : change_one(*request);
    case AdapterRequest::remote_fetch:
        if (own) return;
        response["sockets"] = json::array();
        for (const SocketDescription& socket : local_.describe(request->audience))
            response["sockets"].push_back(describe(socket));
        return respond(response);
    case AdapterRequest::server_side_emit:
        if (own) return;
        response["type"] = static_cast<int>(request->type);
        response["data"] = local_.server_side(request->data);
        if (!request->request_id.empty()) respond(response);
        return;
    case AdapterRequest::broadcast:
        if (!own) broadcast_here(*request);
        return;
    case AdapterRequest::broadcast_client_count:
    case AdapterRequest::broadcast_ack:
        return; // responses, on another channel
    }
}

/// Of the sockets that the request selects, on every server.
void RedisAdapter::change_many(const AdapterAsk& request)
{
    if (request.type == AdapterRequest::remote_join)
        local_.join(request.audience, request.rooms);
    else if (request.type == AdapterRequest::remote_leave)
        local_.leave(request.audience, request.rooms);
    else
        local_.disconnect(request.audience, request.close);
}

/// The older form: one socket by its id; only the server that has it answers.
void RedisAdapter::change_one(const AdapterAsk& request)
{
    const Audience one{.rooms = {request.sid}};
    if (request.sid.empty() || local_.describe(one).empty()) return;
    if (request.type == AdapterRequest::remote_join)
        local_.join(one, {request.room});
    else if (request.type == AdapterRequest::remote_leave)
        local_.leave(one, {request.room});
    else
        local_.disconnect(one, request.close);
    respond(response_to(request));
}

void RedisAdapter::broadcast_here(const AdapterAsk& request)
{
    const milliseconds limit = request.limit.value_or(options_.request_timeout);
    const auto answered = [this, alive = alive_, id = request.request_id](json value) {
        if (!*alive) return;
        const json response = {{"type", static_cast<int>(AdapterRequest::broadcast_ack)},
                               {"requestId", id},
                               {"packet", std::move(value)}};
        respond(response, true);
    };
    json count = {{"type", static_cast<int>(AdapterRequest::broadcast_client_count)},
                  {"requestId", request.request_id}};
    count["clientCount"] = local_.deliver_with_ack(request.audience, request.data, limit, answered);
    respond(count);
}

void RedisAdapter::respond(const json& response, bool as_msgpack)
{
    publish_and_forget(responses_, as_msgpack ? to_msgpack(response) : json_text(response));
}

void RedisAdapter::take_response(std::string_view bytes)
{
    const auto response = parse_response(bytes);
    if (!response) return;
    const auto wait = waits_.find((*response)["requestId"].get_ref<const std::string&>());
    if (wait != waits_.end()) take_answer(*wait->second, *response);
}

void RedisAdapter::take_answer(Wait& wait, const json& response)
{
    const json type = response.value("type", json(nullptr));
    bool by_client = false;
    if (type == static_cast<int>(AdapterRequest::broadcast_client_count)) {
        const json count = response.value("clientCount", json(0));
        by_client = true;
        ++wait.servers;
        if (count.is_number_unsigned()) wait.expected_clients += count.get<std::size_t>();
    } else if (type == static_cast<int>(AdapterRequest::broadcast_ack)) {
        by_client = true;
        wait.answers.push_back(response.value("packet", json(nullptr)));
    } else if (const auto sockets = response.find("sockets");
               sockets != response.end() && sockets->is_array()) {
        ++wait.servers;
        wait.answers.insert(wait.answers.end(), sockets->begin(), sockets->end());
    }
    if (wait.complete(by_client)) wait.timer.cancel();
}

asio::awaitable<Result<void>> RedisAdapter::publish(std::string channel, std::string bytes)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    RedisCommand command;
    command.reserve(3);
    command.emplace_back("PUBLISH");
    command.push_back(std::move(channel));
    command.push_back(std::move(bytes));
    const auto reply = co_await redis_.call(std::move(command), kAnyServer);
    if (!reply) co_return std::unexpected(reply.error());
    co_return Result<void>{};
}

void RedisAdapter::publish_and_forget(std::string channel, std::string bytes)
{
    asio::co_spawn(io_, publish(std::move(channel), std::move(bytes)),
                   [this, alive = alive_](const std::exception_ptr&, const Result<void>& done) {
                       if (*alive && !done)
                           log_.warn("Redis adapter: not published",
                                     {{"namespace", nsp_}, {"error", done.error().text()}});
                   });
}

asio::awaitable<Result<void>> RedisAdapter::broadcast(Audience audience, json data,
                                                      bool is_volatile)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::string channel = channel_;
    if (audience.rooms.size() == 1) channel += audience.rooms[0] + "#";
    const AdapterBroadcast message{.uid = uid_,
                                   .nsp = nsp_,
                                   .data = std::move(data),
                                   .audience = std::move(audience),
                                   .is_volatile = is_volatile};
    const auto alive = alive_;
    while (*alive && asio::steady_timer::clock_type::now() < settled_.expiry())
        static_cast<void>(co_await settled_.async_wait(kAsValue));
    if (!*alive) co_return trouble(Trouble::unavailable, "closed");
    bool listening = others_listen();
    auto sent = co_await publish(std::move(channel), encode_broadcast(message));
    listening = listening && *alive && others_listen();
    if (sent && !listening)
        sent = trouble(Trouble::unavailable, "other servers may not be listening");
    co_return sent;
}

/// Every server does it when it hears the request, this one too; without Redis this one alone.
void RedisAdapter::tell_all(AdapterAsk request)
{
    request.uid = uid_;
    request.addressed = true;
    std::string bytes = encode_request(request);
    asio::co_spawn(io_, publish(requests_, std::move(bytes)),
                   [this, alive = alive_, request = std::move(request)](const std::exception_ptr&,
                                                                        const Result<void>& done) {
                       if (!*alive || done) return;
                       log_.warn("Redis adapter: not published",
                                 {{"namespace", nsp_}, {"error", done.error().text()}});
                       change_many(request);
                   });
}

void RedisAdapter::join(const Audience& audience, const std::vector<std::string>& rooms)
{
    tell_all({.type = AdapterRequest::remote_join, .audience = audience, .rooms = rooms});
}

void RedisAdapter::leave(const Audience& audience, const std::vector<std::string>& rooms)
{
    tell_all({.type = AdapterRequest::remote_leave, .audience = audience, .rooms = rooms});
}

void RedisAdapter::disconnect(const Audience& audience, bool close)
{
    tell_all({.type = AdapterRequest::remote_disconnect, .audience = audience, .close = close});
}

/// How many others listen; nullopt in a Cluster, where each Redis counts its own listeners alone.
asio::awaitable<Result<std::optional<std::size_t>>> RedisAdapter::other_servers()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    Result<std::optional<std::size_t>> unknown = std::nullopt;
    if (redis_.form() == "redis-cluster") co_return unknown;
    RedisCommand command;
    command.emplace_back("PUBSUB");
    command.emplace_back("NUMSUB");
    command.push_back(requests_);
    const auto reply = co_await redis_.call(std::move(command), kAnyServer);
    if (!reply) co_return std::unexpected(reply.error());
    if (reply->items.size() < 2) co_return unknown;
    const auto count = static_cast<std::size_t>(reply->items[1].number);
    Result<std::optional<std::size_t>> others = count > 0 ? count - 1 : 0;
    co_return others;
}

asio::awaitable<Result<std::vector<SocketDescription>>> RedisAdapter::fetch(Audience audience)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto others = co_await other_servers();
    if (!others) co_return std::unexpected(others.error());
    std::vector<SocketDescription> sockets;
    if (*others == 0U) co_return sockets;

    AdapterAsk request{.type = AdapterRequest::remote_fetch,
                       .uid = uid_,
                       .request_id = random_token(kIdBytes),
                       .audience = std::move(audience),
                       .addressed = true};
    const auto wait = std::make_shared<Wait>(io_);
    wait->expected_servers = *others;
    wait->timer.expires_after(options_.request_timeout);
    waits_[request.request_id] = wait;
    const auto sent = co_await publish(requests_, encode_request(request));
    if (sent && !wait->complete(false))
        static_cast<void>(co_await wait->timer.async_wait(kAsValue));
    waits_.erase(request.request_id);
    if (!sent) co_return std::unexpected(sent.error());
    if (*others && !wait->complete(false))
        co_return trouble(Trouble::overloaded, "fetch sockets: some servers did not answer");
    for (const json& answer : wait->answers)
        if (auto socket = parse_socket(answer)) sockets.push_back(std::move(*socket));
    co_return sockets;
}

asio::awaitable<Result<std::vector<json>>> RedisAdapter::ask(Audience audience, json data,
                                                             milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto others = co_await other_servers();
    if (!others) co_return std::unexpected(others.error());
    std::vector<json> none;
    if (*others == 0U) co_return none;

    AdapterAsk request{.type = AdapterRequest::broadcast,
                       .uid = uid_,
                       .request_id = random_token(kIdBytes),
                       .audience = std::move(audience),
                       .addressed = true,
                       .room = nsp_,
                       .data = std::move(data),
                       .limit = limit};
    const auto wait = std::make_shared<Wait>(io_);
    wait->expected_servers = *others;
    wait->timer.expires_after(limit);
    waits_[request.request_id] = wait;
    const auto sent = co_await publish(requests_, encode_request(request));
    if (sent && !wait->complete(true)) static_cast<void>(co_await wait->timer.async_wait(kAsValue));
    waits_.erase(request.request_id);
    if (!sent) co_return std::unexpected(sent.error());
    co_return std::move(wait->answers);
}

asio::awaitable<Result<void>> RedisAdapter::server_side(json data)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const AdapterAsk request{
        .type = AdapterRequest::server_side_emit, .uid = uid_, .data = std::move(data)};
    co_return co_await publish(requests_, encode_request(request));
}

} // namespace cluster::app
