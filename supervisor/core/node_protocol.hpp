// What a worker of Node's `cluster` module and its primary say to each other over the IPC channel:
// one JSON value per line (lib/internal/cluster/child.js and lib/internal/child_process.js in
// Node's sources, alike in Node 16 to 24). We are the primary. Pure: a line in, a message out;
// values in, a line out.
//
//   worker: online                          nothing to answer
//   worker: queryServer (address, index)    we answer with a socket, or with an errno
//   worker: NODE_HANDLE_ACK                 it has the socket; until then nothing else is sent
//   worker: listening                       it accepts connections
//   we:     disconnect                      it closes each server (`close`), finishes what is in
//                                           flight and closes the channel
//   worker: exitedAfterDisconnect           it disconnects by itself, and waits for an answer
//   we:     newconn (key)                   a connection that we have accepted, for the server that
//                                           the worker has open under that key
//
// Everything else is traffic of the app (`process.send`); of that we know one word, `"ready"`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace cluster::supervisor {

/// `other` is what we do not know: it is answered with an error, so that the app does not wait.
enum class NodeAddressType { tcp4, tcp6, path, udp4, udp6, descriptor, other };

/// What a server listens on, as the worker asks for it. Equal ones from several workers of an app
/// mean the same socket.
struct NodeAddress {
    std::string text; ///< as in the message, for the key: "127.0.0.1", "null", "/run/x.sock"
    bool any = false; ///< no address given: [::] dual stack, else 0.0.0.0
    int port = -1;    ///< 0 any free one, -1 for a path
    NodeAddressType type = NodeAddressType::other;
    int fd = -1;   ///< of `listen({fd})`
    int index = 0; ///< tells servers of one worker apart that ask for the same address
    int flags = 0; ///< libuv's, see `kNode…` below
};

/// Whether both mean the same place, whatever the index.
[[nodiscard]] bool same_place(const NodeAddress& a, const NodeAddress& b);

inline constexpr int kNodeIpv6Only = 1;        ///< UV_TCP_IPV6ONLY and UV_UDP_IPV6ONLY
inline constexpr int kNodeUdpReuseAddress = 4; ///< UV_UDP_REUSEADDR

/// The name of the socket in both directions: "127.0.0.1:3001:4:-1:0".
[[nodiscard]] std::string node_key(const NodeAddress& address);

/// For people and probes: "127.0.0.1:3001", "[::]:3001" (any address too), "unix:/run/x.sock",
/// "udp:[::1]:53". The message about a descriptor tells no more than the port.
[[nodiscard]] std::string node_place(const NodeAddress& address);

/// Its port when it is a TCP server's, else 0.
[[nodiscard]] std::uint16_t node_tcp_port(const NodeAddress& address);

struct NodeOnline {};
struct NodeQuery {
    std::int64_t seq = 0; ///< to be echoed in the answer
    NodeAddress address;
    std::string data = "null"; ///< JSON that all workers of the address share (TLS ticket keys)
};
/// `address.port` is the real one, where 0 was asked for.
struct NodeListening {
    NodeAddress address;
};
struct NodeClosed {
    std::string key;
};
struct NodeLeaving {
    std::int64_t seq = 0;
};
/// `process.send('ready')`, whatever comes of its servers; it may be said before they listen.
struct NodeReady {};
struct NodeHandleTaken {};
struct NodeHandleLost {};
/// The app's own traffic, and what nobody knows.
struct NodeUserMessage {};

using NodeMessage = std::variant<NodeUserMessage, NodeOnline, NodeQuery, NodeListening, NodeClosed,
                                 NodeLeaving, NodeReady, NodeHandleTaken, NodeHandleLost>;

/// bun puts this byte before its internal lines, and wants it before ours.
inline constexpr char kBunMark = '\x02';

/// `line` comes without its newline. Never fails: what is not understood is a NodeUserMessage.
[[nodiscard]] NodeMessage parse_node_message(std::string_view line);

// What we say, newline included. `data` is JSON, as it came in a NodeQuery.

/// Goes together with the descriptor of a socket.
[[nodiscard]] std::string node_handle_reply(std::int64_t seq, const NodeAddress& address,
                                            std::string_view data);
/// `error` is a positive errno; the app gets an 'error' event with its name.
[[nodiscard]] std::string node_error_reply(std::int64_t seq, const NodeAddress& address,
                                           std::string_view data, int error);
/// The answer to NodeLeaving.
[[nodiscard]] std::string node_leave_reply(std::int64_t seq);
[[nodiscard]] std::string node_disconnect();
/// Goes together with the descriptor of a connected socket. The worker closes it when it has no
/// server of that key, or one that has reached its `maxConnections`.
[[nodiscard]] std::string node_new_connection(std::string_view key);
/// Announces a handle that does not come. Node says NODE_HANDLE_NACK to that, from its event loop
/// and without a word to the app (lib/internal/child_process.js, since Node 12): the time until
/// then is how long its loop takes to come round.
[[nodiscard]] std::string node_lag_question();
/// For a handle that the app has sent to us: it sends no other before.
[[nodiscard]] std::string node_handle_taken();

} // namespace cluster::supervisor
