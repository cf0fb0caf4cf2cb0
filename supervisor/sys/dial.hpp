// Connections to a worker, to ask whether it serves. Nothing here waits; every descriptor is
// non-blocking and close-on-exec.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstdint>
#include <string>

namespace cluster::supervisor {

/// A TCP socket, connected or connecting; it becomes writable when that is over, see
/// `connect_result`. `host` is a numeric address ("127.0.0.1", "::1", "[::1]"); a wildcard means
/// this machine. Errors name the address.
ipc::Result<ipc::UniqueFd> dial_tcp(const std::string& host, std::uint16_t port);

/// The same for a unix socket. EAGAIN: its queue of connections is full.
ipc::Result<ipc::UniqueFd> dial_unix(const std::string& path);

/// How the connecting of a socket, now writable, has ended. One that reached nobody but itself was
/// refused: TCP does that where the port chosen for it happens to be the one it asks for.
ipc::Result<void> connect_result(int socket);

/// Both ends of one TCP connection over 127.0.0.1, established.
struct LoopbackPair {
    ipc::UniqueFd ours;
    ipc::UniqueFd theirs; ///< the accepted end, to be handed to a worker as a new connection
};
/// Errors name the call. Strangers who connect in between are turned away.
ipc::Result<LoopbackPair> loopback_pair();

} // namespace cluster::supervisor
