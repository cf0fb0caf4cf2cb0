// Who holds an address that is in use, for an error message that helps. Slow (it reads the
// descriptors of every process), and asked only after a bind has failed.
#pragma once

#include "ipc/base/system.hpp"

#include <cstdint>
#include <string>

namespace cluster::supervisor {

/// "node, pid 4242" for the process that listens on the TCP port, "" when /proc does not tell
/// (man 5 proc, net/tcp and net/tcp6; another user's descriptors are hidden).
std::string holder_of_port(ipc::System& system, std::uint16_t port);

/// The same for a unix socket bound to `path` (man 5 proc, net/unix).
std::string holder_of_path(ipc::System& system, const std::string& path);

} // namespace cluster::supervisor
