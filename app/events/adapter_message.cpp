#include "app/events/adapter_message.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

constexpr int kEventPacket = 2;

/// The member, or null: `value` may be anything.
const json& member(const json& value, const char* name)
{
    static const json kNull;
    if (!value.is_object()) return kNull;
    const auto found = value.find(name);
    return found == value.end() ? kNull : *found;
}

std::string text_member(const json& value, const char* name)
{
    const json& found = member(value, name);
    return found.is_string() ? found.get<std::string>() : std::string{};
}

/// Rooms may have been numbers in JavaScript; ours are all texts.
std::vector<std::string> names(const json& value)
{
    std::vector<std::string> result;
    if (!value.is_array()) return result;
    for (const json& item : value)
        if (item.is_string())
            result.push_back(item.get<std::string>());
        else if (item.is_number())
            result.push_back(json_text(item));
    return result;
}

Audience audience_of(const json& opts)
{
    return {.rooms = names(member(opts, "rooms")), .except = names(member(opts, "except"))};
}

json opts_of(const Audience& audience)
{
    return {{"rooms", audience.rooms}, {"except", audience.except}};
}

json packet_of(const json& data, const std::string& nsp)
{
    return {{"type", kEventPacket}, {"data", data}, {"nsp", nsp}};
}

/// [event, args...] of a packet; nullptr when it is no event.
const json* event_of(const json& packet)
{
    const json& data = member(packet, "data");
    if (member(packet, "type") != kEventPacket || !data.is_array() || data.empty()) return nullptr;
    return &data;
}

Result<json> parse_either(std::string_view bytes)
{
    return bytes.starts_with('{') ? parse_client_json(bytes) : parse_msgpack(bytes);
}

std::optional<milliseconds> limit_of(const json& opts)
{
    constexpr std::int64_t kMaxMs = 600'000;
    const json& timeout = member(member(opts, "flags"), "timeout");
    if (!timeout.is_number()) return std::nullopt;
    const double ms = timeout.get<double>();
    if (!(ms >= 0)) return std::nullopt;
    return milliseconds{static_cast<std::int64_t>(std::min(ms, static_cast<double>(kMaxMs)))};
}

} // namespace

Result<AdapterBroadcast> parse_broadcast(std::string_view bytes)
{
    auto message = parse_msgpack(bytes);
    if (!message) return std::unexpected(message.error());
    if (!message->is_array() || message->size() < 3 || !(*message)[0].is_string())
        return bad_message("not a broadcast");
    const json& packet = (*message)[1];
    const json& opts = (*message)[2];
    const json* const data = event_of(packet);
    if (data == nullptr) return bad_message("not an event");
    AdapterBroadcast broadcast{.uid = (*message)[0].get<std::string>(), .data = *data};
    if (const json& nsp = member(packet, "nsp"); nsp.is_string())
        broadcast.nsp = nsp.get<std::string>();
    broadcast.audience = audience_of(opts);
    broadcast.is_volatile = member(member(opts, "flags"), "volatile") == true;
    return broadcast;
}

std::string encode_broadcast(const AdapterBroadcast& broadcast)
{
    json opts = opts_of(broadcast.audience);
    opts["flags"] = json::object();
    if (broadcast.is_volatile) opts["flags"]["volatile"] = true;
    json message = json::array();
    message.push_back(broadcast.uid);
    message.push_back(packet_of(broadcast.data, broadcast.nsp));
    message.push_back(std::move(opts));
    return to_msgpack(message);
}

Result<AdapterAsk> parse_request(std::string_view bytes)
{
    const auto message = parse_either(bytes);
    if (!message) return std::unexpected(message.error());
    const json& type = member(*message, "type");
    if (!type.is_number_integer() || type < 0 || type > 9) return bad_message("unknown request");
    const json& opts = member(*message, "opts");
    AdapterAsk ask{.type = static_cast<AdapterRequest>(type.get<int>()),
                   .uid = text_member(*message, "uid"),
                   .request_id = text_member(*message, "requestId"),
                   .audience = audience_of(opts),
                   .addressed = opts.is_object(),
                   .rooms = names(member(*message, "rooms")),
                   .sid = text_member(*message, "sid"),
                   .room = text_member(*message, "room"),
                   .close = member(*message, "close") == true,
                   .data = member(*message, "data"),
                   .limit = limit_of(opts)};
    if (ask.type == AdapterRequest::broadcast) {
        const json* const data = event_of(member(*message, "packet"));
        if (data == nullptr) return bad_message("not an event");
        ask.data = *data;
    }
    return ask;
}

std::string encode_request(const AdapterAsk& ask)
{
    json message = {{"uid", ask.uid}};
    if (!ask.request_id.empty()) message["requestId"] = ask.request_id;
    message["type"] = static_cast<int>(ask.type);
    if (ask.type == AdapterRequest::broadcast) message["packet"] = packet_of(ask.data, ask.room);
    if (ask.addressed) message["opts"] = opts_of(ask.audience);
    switch (ask.type) {
    case AdapterRequest::remote_join:
    case AdapterRequest::remote_leave:
        message["rooms"] = ask.rooms;
        break;
    case AdapterRequest::remote_disconnect:
        message["close"] = ask.close;
        break;
    case AdapterRequest::server_side_emit:
        message["data"] = ask.data;
        break;
    case AdapterRequest::broadcast:
        message["opts"]["flags"] = json::object();
        if (ask.limit) message["opts"]["flags"]["timeout"] = ask.limit->count();
        return to_msgpack(message);
    default:
        break;
    }
    return json_text(message);
}

Result<json> parse_response(std::string_view bytes)
{
    auto message = parse_either(bytes);
    if (!message) return message;
    if (!member(*message, "requestId").is_string()) return bad_message("not a response");
    return message;
}

json describe(const SocketDescription& socket)
{
    return {{"id", socket.id},
            {"handshake", socket.handshake},
            {"rooms", socket.rooms},
            {"data", socket.data}};
}

std::optional<SocketDescription> parse_socket(const json& value)
{
    if (!member(value, "id").is_string()) return std::nullopt;
    return SocketDescription{.id = text_member(value, "id"),
                             .handshake = member(value, "handshake"),
                             .rooms = names(member(value, "rooms")),
                             .data = member(value, "data")};
}

} // namespace cluster::app
