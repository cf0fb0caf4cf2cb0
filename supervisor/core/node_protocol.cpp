#include "supervisor/core/node_protocol.hpp"

#include "ipc/wire/json_text.hpp"

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include <limits>

namespace cluster::supervisor {
namespace {

using nlohmann::json;

/// Longer than any address: a path has at most 107 bytes (man 7 unix).
constexpr std::size_t kMaxAddressBytes = 512;

/// How each type of address is written, and which word goes with its handle.
struct TypeName {
    NodeAddressType type;
    std::string_view text;
    std::string_view handle;
};
// clang-format off
constexpr TypeName kTypes[] = {
    {NodeAddressType::tcp4,       "4",    "net.Native"},
    {NodeAddressType::tcp6,       "6",    "net.Native"},
    {NodeAddressType::path,       "-1",   "net.Native"},
    {NodeAddressType::udp4,       "udp4", "dgram.Native"},
    {NodeAddressType::udp6,       "udp6", "dgram.Native"},
    {NodeAddressType::descriptor, "fd",   "net.Native"},
    {NodeAddressType::other,      "?",    "net.Native"},
};
// clang-format on

const TypeName& row_of(NodeAddressType type)
{
    for (const TypeName& row : kTypes) {
        if (row.type == type) return row;
    }
    return kTypes[std::size(kTypes) - 1];
}

template <class Number>
std::optional<Number> integer(const json& object, const char* name)
{
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number_integer()) return std::nullopt;
    if (found->is_number_unsigned() &&
        found->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<Number>::max()})
        return std::nullopt;
    const auto value = found->get<std::int64_t>();
    if (value < std::numeric_limits<Number>::min() || value > std::numeric_limits<Number>::max())
        return std::nullopt;
    return static_cast<Number>(value);
}

NodeAddressType type_of(const json& message, int fd)
{
    if (fd >= 0) return NodeAddressType::descriptor;
    const json given = message.value("addressType", json{});
    if (given == 4) return NodeAddressType::tcp4;
    if (given == 6) return NodeAddressType::tcp6;
    if (given == -1) return NodeAddressType::path;
    if (given == "udp4") return NodeAddressType::udp4;
    if (given == "udp6") return NodeAddressType::udp6;
    return NodeAddressType::other;
}

std::optional<NodeAddress> read_address(const json& message)
{
    const json text = message.value("address", json{});
    if (!text.is_null() && !text.is_string()) return std::nullopt;
    NodeAddress address;
    address.any = text.is_null();
    address.text = text.is_null() ? "null" : text.get<std::string>();
    if (address.text.size() > kMaxAddressBytes) return std::nullopt;
    address.port = integer<int>(message, "port").value_or(-1);
    address.fd = integer<int>(message, "fd").value_or(-1);
    address.index = integer<int>(message, "index").value_or(0);
    address.flags = integer<int>(message, "flags").value_or(0);
    address.type = type_of(message, address.fd);
    return address;
}

NodeMessage read_act(const json& message)
{
    const json act = message.value("act", json{});
    const auto seq = integer<std::int64_t>(message, "seq").value_or(0);
    if (act == "online") return NodeOnline{};
    if (act == "exitedAfterDisconnect") return NodeLeaving{seq};
    if (act == "close") {
        const json key = message.value("key", json{});
        if (key.is_string()) return NodeClosed{key.get<std::string>()};
    }
    if (act == "queryServer" || act == "listening") {
        auto address = read_address(message);
        if (!address) return NodeUserMessage{};
        if (act == "listening") return NodeListening{std::move(*address)};
        return NodeQuery{seq, std::move(*address), message.value("data", json{}).dump()};
    }
    return NodeUserMessage{};
}

/// What both answers to a query have in common, from `"ack"` to the closing brace.
std::string reply(std::int64_t seq, const NodeAddress& address, std::string_view data, int error)
{
    return fmt::format(R"({{"cmd":"NODE_CLUSTER","ack":{},"errno":{},"key":{},"data":{}}})", seq,
                       -error, json(node_key(address)).dump(), data);
}

/// "::1" in brackets, so that the port can follow.
std::string with_port(std::string_view host, int port)
{
    const bool bare_ipv6 = host.contains(':') && !host.starts_with('[');
    return bare_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

} // namespace

bool same_place(const NodeAddress& a, const NodeAddress& b)
{
    return a.text == b.text && a.port == b.port && a.type == b.type && a.fd == b.fd;
}

std::string node_key(const NodeAddress& address)
{
    return fmt::format("{}:{}:{}:{}:{}", address.text, address.port, row_of(address.type).text,
                       address.fd, address.index);
}

std::string node_place(const NodeAddress& address)
{
    if (address.type == NodeAddressType::path) return "unix:" + address.text;
    const bool datagram =
        address.type == NodeAddressType::udp4 || address.type == NodeAddressType::udp6;
    return (datagram ? "udp:" : "") + with_port(address.any ? "::" : address.text, address.port);
}

std::uint16_t node_tcp_port(const NodeAddress& address)
{
    const bool tcp = address.type == NodeAddressType::tcp4 ||
                     address.type == NodeAddressType::tcp6 ||
                     address.type == NodeAddressType::descriptor; // a path has no port
    const bool valid =
        address.port > 0 && address.port <= std::numeric_limits<std::uint16_t>::max();
    return tcp && valid ? static_cast<std::uint16_t>(address.port) : std::uint16_t{0};
}

NodeMessage parse_node_message(std::string_view line)
{
    if (line == R"("ready")") return NodeReady{};
    const bool marked = line.starts_with(kBunMark);
    if (marked) line.remove_prefix(1);
    // Node writes `cmd` first, so traffic of the app need not be parsed.
    if (!marked && !line.starts_with(R"({"cmd":"NODE_)")) return NodeUserMessage{};
    const auto parsed = ipc::parse_relaxed_json(std::string{line});
    if (!parsed || !parsed->is_object()) return NodeUserMessage{};
    const json cmd = parsed->value("cmd", json{});
    if (cmd == "NODE_HANDLE_ACK") return NodeHandleTaken{};
    if (cmd == "NODE_HANDLE_NACK") return NodeHandleLost{};
    if (marked || cmd == "NODE_CLUSTER") return read_act(*parsed);
    return NodeUserMessage{};
}

std::string node_handle_reply(std::int64_t seq, const NodeAddress& address, std::string_view data)
{
    return fmt::format("{{\"cmd\":\"NODE_HANDLE\",\"type\":\"{}\",\"msg\":{}}}\n",
                       row_of(address.type).handle, reply(seq, address, data, 0));
}

std::string node_error_reply(std::int64_t seq, const NodeAddress& address, std::string_view data,
                             int error)
{
    return reply(seq, address, data, error) + "\n";
}

std::string node_leave_reply(std::int64_t seq)
{
    return fmt::format("{{\"cmd\":\"NODE_CLUSTER\",\"ack\":{}}}\n", seq);
}

std::string node_disconnect()
{
    return "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\"}\n";
}

std::string node_new_connection(std::string_view key)
{
    return fmt::format(R"({{"cmd":"NODE_HANDLE","type":"net.Native","msg":)"
                       R"({{"cmd":"NODE_CLUSTER","act":"newconn","key":{}}}}})"
                       "\n",
                       json(key).dump());
}

std::string node_lag_question()
{
    return "{\"cmd\":\"NODE_HANDLE\"}\n";
}

std::string node_handle_taken()
{
    return "{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
}

} // namespace cluster::supervisor
