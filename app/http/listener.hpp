// Listening sockets of clusterapp: taken over from the supervisor, or bound by ourselves. A socket
// that was passed to us is shared with the other workers and outlives us.
#pragma once

#include "app/http/options.hpp"
#include "ipc/base/unique_fd.hpp"

#include <string>
#include <vector>

namespace cluster::app {

struct ListeningSocket {
    ipc::UniqueFd fd;  ///< non-blocking, close-on-exec
    int family = 0;    ///< AF_INET, AF_INET6 or AF_UNIX
    std::string label; ///< for people: "127.0.0.1:3001", "[::]:3001", "unix:/run/x.sock"
    bool own = false;  ///< bound by ourselves: what waits in its queue dies with it
};

/// Takes over each passed socket. Errors: a descriptor that is not a listening stream socket.
[[nodiscard]] Result<std::vector<ListeningSocket>>
take_over(const std::vector<PassedSocket>& passed);

/// Binds and listens. An empty `host` is [::] for both IP versions, or 0.0.0.0 where there is no
/// IPv6. Errors name the address: "cannot listen on 127.0.0.1:3001: address already in use".
[[nodiscard]] Result<ListeningSocket> bind_listener(const std::string& host, std::uint16_t port);

/// One waiting connection, non-blocking and close-on-exec. Errors: EAGAIN when another worker was
/// quicker, else those of man 2 accept4.
[[nodiscard]] Result<ipc::UniqueFd> accept_one(int listening_fd);

} // namespace cluster::app
