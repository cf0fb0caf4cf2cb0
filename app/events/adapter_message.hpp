// What servers say to each other through Redis, byte for byte as @socket.io/redis-adapter 8.3 does:
// broadcasts as msgpack, requests and responses as JSON, or as msgpack where they carry a packet.
// Pure; whatever comes is checked, because anybody with the password may publish.
#pragma once

#include "app/events/adapter.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

enum class AdapterRequest {
    sockets = 0,
    all_rooms = 1,
    remote_join = 2,
    remote_leave = 3,
    remote_disconnect = 4,
    remote_fetch = 5,
    server_side_emit = 6,
    broadcast = 7,
    broadcast_client_count = 8,
    broadcast_ack = 9,
};

/// [uid, {"type": 2, "data": [...], "nsp": "/"}, {"rooms": [], "except": [], "flags": {}}]
struct AdapterBroadcast {
    std::string uid;
    std::string nsp = "/";
    json data; ///< [event, args...]
    Audience audience{};
    bool is_volatile = false;
};
[[nodiscard]] Result<AdapterBroadcast> parse_broadcast(std::string_view bytes);
[[nodiscard]] std::string encode_broadcast(const AdapterBroadcast& broadcast);

struct AdapterAsk {
    AdapterRequest type = AdapterRequest::sockets;
    std::string uid{};
    std::string request_id{}; ///< "" when no answer is wanted
    Audience audience{};      ///< of `opts`
    bool addressed = false;   ///< `opts` was there
    std::vector<std::string> rooms{};
    std::string sid{};  ///< in the older forms that name one socket
    std::string room{}; ///< likewise
    bool close = false;
    json data{};                         ///< of server_side_emit: an array; of broadcast: its event
    std::optional<milliseconds> limit{}; ///< of broadcast
};
[[nodiscard]] Result<AdapterAsk> parse_request(std::string_view bytes);
[[nodiscard]] std::string encode_request(const AdapterAsk& ask);

/// As JSON or msgpack, by its first byte; an object with "requestId" in it.
[[nodiscard]] Result<json> parse_response(std::string_view bytes);

[[nodiscard]] json describe(const SocketDescription& socket);
[[nodiscard]] std::optional<SocketDescription> parse_socket(const json& value);

} // namespace cluster::app
