// The sending end of a log sink. Nothing here waits; every descriptor is non-blocking and
// close-on-exec.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// A socket that sends datagrams to the one bound to `path`. Errors name the path.
ipc::Result<ipc::UniqueFd> dial_unix_datagram(const std::string& path);

/// A socket that sends datagrams to a numeric address. Nobody need be there.
ipc::Result<ipc::UniqueFd> dial_udp(const std::string& host, std::uint16_t port);

/// Our own standard output once more. A file or a pipe is opened anew, so that our not waiting for
/// it is nobody else's; a socket (systemd's journal) is shared.
ipc::Result<ipc::UniqueFd> open_stdout();

/// How much was sent: less than all only of a stream that takes no more. EAGAIN: it takes nothing
/// now. Never raises SIGPIPE.
ipc::Result<std::size_t> send_some(int fd, std::string_view bytes);

} // namespace cluster::supervisor
