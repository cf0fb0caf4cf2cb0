// A pair of connected sockets over which descriptors travel (man 7 unix, SCM_RIGHTS). Nothing here
// waits or raises SIGPIPE; EAGAIN comes back as an error with that code.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <span>
#include <string_view>

namespace cluster::supervisor {

struct SocketPair {
    ipc::UniqueFd ours;   ///< does not wait
    ipc::UniqueFd theirs; ///< as a new socket is: its owner decides
};
ipc::Result<SocketPair> make_socket_pair();

/// Sends what fits; `handle` travels with the first byte, -1 for none.
ipc::Result<std::size_t> send_with_handle(int socket, std::string_view bytes, int handle = -1);

struct Received {
    std::size_t size = 0; ///< 0 is the end
    bool handles = false; ///< descriptors came along
};
/// Descriptors that come along are closed at once: nobody here wants them. Bytes behind those that
/// came with descriptors come with the next call.
ipc::Result<Received> receive_bytes(int socket, std::span<char> into);
/// The same, and all stays where it is: the next call sees it again.
ipc::Result<Received> peek_bytes(int socket, std::span<char> into);

} // namespace cluster::supervisor
