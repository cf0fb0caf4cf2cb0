// The receiving end of $NOTIFY_SOCKET (man 3 sd_notify): a datagram socket in the abstract
// namespace (man 7 unix), so that a worker of another user reaches it as well. Everybody else
// reaches it too: the kernel tells who has sent a datagram.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace cluster::supervisor {

struct NotifyEndpoint {
    ipc::UniqueFd socket;
    std::string address; ///< for NOTIFY_SOCKET: "@" and a name that cannot be guessed
};
ipc::Result<NotifyEndpoint> open_notify_endpoint();
/// Once more under a name that has been told to a worker, and that nobody has any more.
ipc::Result<NotifyEndpoint> open_notify_endpoint(std::string address);

struct Datagram {
    std::size_t size = 0;
    bool cut = false;              ///< it did not fit
    std::optional<uid_t> sender{}; ///< empty: the kernel does not tell
};
/// The oldest datagram, which stays where it is: the next call sees it again. Never waits; EAGAIN
/// comes back as an error with that code.
ipc::Result<Datagram> peek_datagram(int socket, std::span<char> into);
/// Throws the oldest datagram away; descriptors that came along with it are closed.
void drop_datagram(int socket);

} // namespace cluster::supervisor
