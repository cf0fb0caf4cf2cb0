#include "app/events/host_adapter.hpp"

#include "app/base/trouble.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

// A message: the namespace, a line's end, a broadcast (msgpack) or a request (JSON).
constexpr char kEndOfName = '\n';

std::unexpected<ipc::Error> needs_redis()
{
    return trouble(Trouble::unavailable, "to ask the clients of other processes needs Redis");
}

} // namespace

std::string_view HostAdapter::nsp_of(std::string_view message)
{
    return message.substr(0, message.find(kEndOfName));
}

void HostAdapter::heard(std::string_view message)
{
    message.remove_prefix(std::min(nsp_.size() + 1, message.size()));
    if (message.starts_with('{')) {
        if (const auto request = parse_request(message)) do_here(*request);
    } else if (const auto broadcast = parse_broadcast(message)) {
        local_.deliver(broadcast->audience, broadcast->data, broadcast->is_volatile);
    }
}

asio::awaitable<Result<void>> HostAdapter::broadcast(Audience audience, json data, bool is_volatile)
{
    const AdapterBroadcast message{.uid = "host",
                                   .nsp = nsp_,
                                   .data = std::move(data),
                                   .audience = std::move(audience),
                                   .is_volatile = is_volatile};
    channel_.tell(nsp_ + kEndOfName + encode_broadcast(message));
    co_return Result<void>{};
}

void HostAdapter::tell(AdapterAsk request)
{
    request.uid = "host";
    request.addressed = request.type != AdapterRequest::server_side_emit;
    channel_.tell(nsp_ + kEndOfName + encode_request(request));
}

void HostAdapter::do_here(const AdapterAsk& request)
{
    if (request.type == AdapterRequest::remote_join)
        local_.join(request.audience, request.rooms);
    else if (request.type == AdapterRequest::remote_leave)
        local_.leave(request.audience, request.rooms);
    else if (request.type == AdapterRequest::remote_disconnect)
        local_.disconnect(request.audience, request.close);
    else if (request.type == AdapterRequest::server_side_emit)
        static_cast<void>(local_.server_side(request.data));
}

void HostAdapter::join(const Audience& audience, const std::vector<std::string>& rooms)
{
    local_.join(audience, rooms);
    tell({.type = AdapterRequest::remote_join, .audience = audience, .rooms = rooms});
}

void HostAdapter::leave(const Audience& audience, const std::vector<std::string>& rooms)
{
    local_.leave(audience, rooms);
    tell({.type = AdapterRequest::remote_leave, .audience = audience, .rooms = rooms});
}

void HostAdapter::disconnect(const Audience& audience, bool close)
{
    tell({.type = AdapterRequest::remote_disconnect, .audience = audience, .close = close});
    local_.disconnect(audience, close);
}

asio::awaitable<Result<std::vector<SocketDescription>>> HostAdapter::fetch(Audience)
{
    co_return needs_redis();
}

asio::awaitable<Result<std::vector<json>>> HostAdapter::ask(Audience, json, milliseconds)
{
    co_return needs_redis();
}

asio::awaitable<Result<void>> HostAdapter::server_side(json data)
{
    tell({.type = AdapterRequest::server_side_emit, .data = std::move(data)});
    co_return Result<void>{};
}

} // namespace cluster::app
