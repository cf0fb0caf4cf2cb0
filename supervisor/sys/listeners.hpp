// Opens the listening sockets that apps declare (attribute `listen`). The daemon keeps them open as
// long as the app is declared, so that no restart of a worker refuses a connection.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"

namespace cluster::supervisor {

/// Binds and listens; close-on-exec. "3001" binds [::] dual stack and falls back to 0.0.0.0;
/// "127.0.0.1:3001", "[::1]:3001" literal addresses; "unix:/path" removes a stale socket file first
/// (one that refuses a connect). Errors name the address and, for EADDRINUSE, the pid and name of
/// the process holding it when /proc tells (`system` reads it).
ipc::Result<ipc::UniqueFd> open_listener(ipc::System& system, const ipc::ListenAddress& address);

} // namespace cluster::supervisor
