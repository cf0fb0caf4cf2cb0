#include "ipc/base/notify.hpp"

#include "ipc/base/unique_fd.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>

namespace cluster::ipc {

Result<void> notify(const std::string& socket_path, std::string_view state)
{
    if (socket_path.empty()) return {};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof(address.sun_path))
        return fail(ENAMETOOLONG, "notify " + socket_path);
    socket_path.copy(address.sun_path, socket_path.size());
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    // Without the closing zero: in an abstract address it would be a part of the name.
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_path.size());

    const UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return fail(errno, "notify " + socket_path);
    // Never waits: a supervisor that does not read must not hold up what it supervises.
    if (::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address), size) < 0)
        return fail(errno, "notify " + socket_path);
    return {};
}

} // namespace cluster::ipc
