// Opens the sockets that workers of Node's cluster mode ask for, the way libuv opens them for a
// Node primary: bound, not yet listening (each worker calls listen with its own backlog), and never
// blocking, because all workers share the one open file.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace cluster::supervisor {

struct BindPlace {
    std::string host{}; ///< a numeric address; "" is [::] dual stack, else 0.0.0.0
    std::uint16_t port = 0;
    bool ipv6 = false;
    bool datagram = false;
    bool ipv6_only = false;
    bool reuse_address = true; ///< of UDP only when asked for: two programs would share the port
};

/// The error's code is the errno that the app shall see.
ipc::Result<ipc::UniqueFd> bind_socket(const BindPlace& place);

/// One more socket for the address of `first`, a TCP socket from `bind_socket` that listens by now:
/// it joins its group (see join_listener).
ipc::Result<ipc::UniqueFd> join_socket(int first);

/// The path is made, and a stale socket file removed, with the rights of `owner` when given: a
/// worker of another user shall not reach further through us. This one listens already. Abstract
/// names are refused (EINVAL).
ipc::Result<ipc::UniqueFd> bind_path(ipc::System& system, const std::string& path,
                                     std::optional<std::pair<uid_t, gid_t>> owner);

/// Removes a socket file, with the rights of `owner`. One that is gone already is no error.
void remove_path(const std::string& path, std::optional<std::pair<uid_t, gid_t>> owner);

/// A socket that was opened for other programs too, for use by Node: it no longer blocks.
ipc::Result<ipc::UniqueFd> share_socket(int socket);

} // namespace cluster::supervisor
