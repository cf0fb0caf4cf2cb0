// Whole messages with many descriptors between two of our own processes, over a pair of connected
// sockets (man 7 unix, SOCK_SEQPACKET and SCM_RIGHTS). Nothing here waits or raises SIGPIPE; EAGAIN
// comes back as an error with that code.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::supervisor {

/// Of one message; the kernel takes 253 (SCM_MAX_FD).
inline constexpr std::size_t kMaxFdsPerMessage = 250;
/// Of one message, in bytes.
inline constexpr std::size_t kMaxMessageBytes = 8192;

/// Both close-on-exec.
ipc::Result<std::pair<ipc::UniqueFd, ipc::UniqueFd>> make_message_pair();

/// All of it or nothing. Errors: EAGAIN (no room), ETOOMANYREFS (too many descriptors under way:
/// room again when the other side has read), EPIPE or ECONNRESET (nobody there).
ipc::Result<void> send_message(int socket, std::string_view bytes, std::span<const int> fds = {});

struct ReceivedMessage {
    std::string bytes; ///< empty: the other side is gone, and all that it said has been read
    std::vector<ipc::UniqueFd> fds;
    bool fds_lost = false; ///< some did not fit into our limit of open files
};
ipc::Result<ReceivedMessage> receive_message(int socket);

} // namespace cluster::supervisor
