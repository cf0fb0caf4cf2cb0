#include "ipc/base/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>

namespace cluster::ipc {

Result<UniqueFd> connect_notify(const std::string& socket_path)
{
    const std::string what = "notify " + socket_path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof(address.sun_path)) return fail(ENAMETOOLONG, what);
    socket_path.copy(address.sun_path, socket_path.size());
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    // Without the closing zero: in an abstract address it would be a part of the name.
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path.size());

    UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return fail(errno, what);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) < 0)
        return fail(errno, what);
    return socket;
}

Result<void> notify(const std::string& socket_path, std::string_view state)
{
    if (socket_path.empty()) return {};
    const auto socket = connect_notify(socket_path);
    if (!socket) return std::unexpected(socket.error());
    // Never waits: a supervisor that does not read must not hold up what it supervises.
    if (::send(socket->get(), state.data(), state.size(), MSG_NOSIGNAL) < 0)
        return fail(errno, "notify " + socket_path);
    return {};
}

} // namespace cluster::ipc
