// The lines are those of Node 16 to 24, recorded from real workers.
#include "supervisor/core/node_protocol.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::supervisor;

namespace {

template <class Message>
Message parsed(std::string_view line)
{
    const NodeMessage message = parse_node_message(line);
    REQUIRE(std::holds_alternative<Message>(message));
    return std::get<Message>(message);
}

bool is_user_message(std::string_view line)
{
    return std::holds_alternative<NodeUserMessage>(parse_node_message(line));
}

} // namespace

TEST_CASE("node protocol: what a server listens on becomes a key of its own")
{
    using enum NodeAddressType;
    const struct {
        const char* name;
        const char* line; ///< after `"act":"queryServer",`
        NodeAddressType type;
        bool any;
        int port;
        int flags;
        const char* key;
    } rows[] = {
        {"listen(3001)",
         R"("index":0,"data":null,"address":null,"port":3001,"addressType":4,"flags":0,"seq":1})",
         tcp4, true, 3001, 0, "null:3001:4:-1:0"},
        {"listen(3001, '127.0.0.1')",
         R"("index":2,"data":null,"address":"127.0.0.1","port":3001,"addressType":4,"seq":1})",
         tcp4, false, 3001, 0, "127.0.0.1:3001:4:-1:2"},
        {"listen({host: '::', ipv6Only: true})",
         R"("index":0,"address":"::","port":0,"addressType":6,"flags":1,"backlog":511,"seq":1})",
         tcp6, false, 0, kNodeIpv6Only, ":::0:6:-1:0"},
        {"listen('/run/x.sock')",
         R"("index":0,"address":"/run/x.sock","port":-1,"addressType":-1,"seq":1})", path, false,
         -1, 0, "/run/x.sock:-1:-1:-1:0"},
        {"createSocket({type: 'udp4', reuseAddr: true})",
         R"("index":0,"address":"0.0.0.0","port":53,"addressType":"udp4","fd":-1,"flags":4,"seq":1})",
         udp4, false, 53, kNodeUdpReuseAddress, "0.0.0.0:53:udp4:-1:0"},
        {"createSocket('udp6')",
         R"("index":0,"address":"::","port":53,"addressType":"udp6","fd":-1,"flags":0,"seq":1})",
         udp6, false, 53, 0, ":::53:udp6:-1:0"},
        {"listen({fd: 3})",
         R"("index":0,"address":null,"port":null,"addressType":null,"fd":3,"seq":1})", descriptor,
         true, -1, 0, "null:-1:fd:3:0"},
        {"a type of the future",
         R"("index":0,"address":null,"port":1,"addressType":"sctp","seq":1})", other, true, 1, 0,
         "null:1:?:-1:0"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto query = parsed<NodeQuery>(
            std::string{R"({"cmd":"NODE_CLUSTER","act":"queryServer",)"} + row.line);
        CHECK(query.seq == 1);
        CHECK(query.address.type == row.type);
        CHECK(query.address.any == row.any);
        CHECK(query.address.port == row.port);
        CHECK(query.address.flags == row.flags);
        CHECK(node_key(query.address) == row.key);
    }
}

TEST_CASE("node protocol: the other messages of a worker")
{
    (void)parsed<NodeOnline>(R"({"cmd":"NODE_CLUSTER","act":"online","seq":0})");
    (void)parsed<NodeReady>(R"("ready")"); // also bun, which does not mark what the app says
    (void)parsed<NodeHandleTaken>(R"({"cmd":"NODE_HANDLE_ACK"})");
    (void)parsed<NodeHandleLost>(R"({"cmd":"NODE_HANDLE_NACK"})");
    CHECK(
        parsed<NodeClosed>(R"({"cmd":"NODE_CLUSTER","act":"close","key":"null:1:4:-1:0","seq":3})")
            .key == "null:1:4:-1:0");
    CHECK(parsed<NodeLeaving>(R"({"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":7})")
              .seq == 7);
    const auto listening = parsed<NodeListening>(
        R"({"cmd":"NODE_CLUSTER","act":"listening","index":0,"data":null,"address":null,"port":41234,)"
        R"("addressType":4,"seq":2})");
    CHECK(listening.address.port == 41234);
    CHECK(listening.address.any);
    // bun marks its lines and need not write `cmd` first.
    (void)parsed<NodeOnline>("\x02{\"act\":\"online\",\"seq\":0}");
}

TEST_CASE("node protocol: data is kept as it came, for the other workers")
{
    const auto query = parsed<NodeQuery>(
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":{"ticketKeys":"00ff"},)"
        R"("address":null,"port":443,"addressType":4,"seq":1})");
    CHECK(query.data == R"({"ticketKeys":"00ff"})");
}

TEST_CASE("node protocol: whatever else comes is the app's own")
{
    const std::string deep(30'000, '[');
    const std::string long_address(600, 'a');
    const std::string lines[] = {
        R"("Ready")",
        R"("ready" )",
        "ready",
        "\x02\"ready\"",
        R"({"ready":true})",
        R"({"cmd":"NODE_CLUSTER","accepted":true,"seq":3})",
        R"({"type":"process:msg","data":{}})",
        "42",
        "",
        "no JSON",
        R"({"cmd":"NODE_STRANGE"})",
        R"({"cmd":"NODE_HANDLE","type":"net.Server","msg":"x"})",
        R"({"cmd":"NODE_CLUSTER","act":"nonsense"})",
        R"({"cmd":"NODE_CLUSTER","act":"close","key":5})",
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":{"no":"text"}})",
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":")" + long_address + R"("})",
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","data":)" + deep,
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":)" + deep +
            std::string(30'000, ']') + "}",
    };
    for (const std::string& line : lines) {
        CAPTURE(line.substr(0, 80));
        CHECK(is_user_message(line));
    }
}

TEST_CASE("node protocol: numbers that do not fit are as good as none")
{
    const auto query = parsed<NodeQuery>(
        R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":null,"port":99999999999999999999,)"
        R"("addressType":4,"index":-9000000000,"fd":1.5,"seq":18446744073709551615})");
    CHECK(query.address.port == -1);
    CHECK(query.address.index == 0);
    CHECK(query.address.fd == -1);
    CHECK(query.seq == 0);
}

TEST_CASE("node protocol: equal places may have different indexes")
{
    const NodeAddress one{.text = "null", .any = true, .port = 1, .type = NodeAddressType::tcp4};
    NodeAddress other = one;
    other.index = 5;
    CHECK(same_place(one, other));
    other.port = 2;
    CHECK_FALSE(same_place(one, other));
}

TEST_CASE("node protocol: places are written for people and probes")
{
    using enum NodeAddressType;
    const NodeAddress by_descriptor{.text = "null", .any = true, .port = 81, .type = descriptor};
    const struct {
        const char* name;
        NodeAddress address;
        const char* place;
        std::uint16_t tcp_port;
    } rows[] = {
        {"any", {.text = "null", .any = true, .port = 80, .type = tcp4}, "[::]:80", 80},
        {"an IPv4 host", {.text = "127.0.0.1", .port = 80, .type = tcp4}, "127.0.0.1:80", 80},
        {"an IPv6 host", {.text = "::1", .port = 80, .type = tcp6}, "[::1]:80", 80},
        {"bun says 4 of each host", {.text = "::1", .port = 80, .type = tcp4}, "[::1]:80", 80},
        {"a path", {.text = "/run/x.sock", .port = -1, .type = path}, "unix:/run/x.sock", 0},
        {"udp4", {.text = "0.0.0.0", .port = 53, .type = udp4}, "udp:0.0.0.0:53", 0},
        {"udp6", {.text = "::", .port = 53, .type = udp6}, "udp:[::]:53", 0},
        {"listen({fd: 3})", by_descriptor, "[::]:81", 81},
        {"no port that exists", {.text = "a", .port = 70'000, .type = tcp4}, "a:70000", 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(node_place(row.address) == row.place);
        CHECK(node_tcp_port(row.address) == row.tcp_port);
    }
}

TEST_CASE("node protocol: what we say, byte for byte")
{
    const NodeAddress tcp{.text = "a\"b", .port = 80, .type = NodeAddressType::tcp4};
    const NodeAddress udp{.text = "::", .port = 53, .type = NodeAddressType::udp6};
    CHECK(node_handle_reply(5, tcp, R"({"k":1})") ==
          R"({"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER","ack":5,)"
          R"("errno":0,"key":"a\"b:80:4:-1:0","data":{"k":1}}})"
          "\n");
    CHECK(node_handle_reply(6, udp, "null") ==
          R"({"cmd":"NODE_HANDLE","type":"dgram.Native","msg":{"cmd":"NODE_CLUSTER","ack":6,)"
          R"("errno":0,"key":":::53:udp6:-1:0","data":null}})"
          "\n");
    CHECK(node_error_reply(7, udp, "null", 98) ==
          R"({"cmd":"NODE_CLUSTER","ack":7,"errno":-98,"key":":::53:udp6:-1:0","data":null})"
          "\n");
    CHECK(node_leave_reply(8) == "{\"cmd\":\"NODE_CLUSTER\",\"ack\":8}\n");
    CHECK(node_disconnect() == "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\"}\n");
    CHECK(node_new_connection("a\"b:80:4:-1:0") ==
          R"({"cmd":"NODE_HANDLE","type":"net.Native","msg":{"cmd":"NODE_CLUSTER",)"
          R"("act":"newconn","key":"a\"b:80:4:-1:0"}})"
          "\n");
    CHECK(node_handle_taken() == "{\"cmd\":\"NODE_HANDLE_ACK\"}\n");
}
