// Asio opens its sockets without close-on-exec; a program that is started from here has no business
// with them.
#pragma once

#include <fcntl.h>

namespace cluster::app {

/// `socket` is open. man 2 fcntl; it cannot fail for a descriptor of ours.
template <class Socket>
void close_on_exec(Socket& socket)
{
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
}

} // namespace cluster::app
