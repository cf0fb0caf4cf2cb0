#include "supervisor/sys/notify_endpoint.hpp"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

namespace cluster::supervisor {
namespace {

/// Letters of a name with 128 random bits.
ipc::Result<std::string> random_name()
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<unsigned char, 16> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return ipc::fail(errno, "getrandom");
    std::string name;
    for (const unsigned byte : bytes) {
        name += kDigits[byte / 16];
        name += kDigits[byte % 16];
    }
    return name;
}

} // namespace

ipc::Result<NotifyEndpoint> open_notify_endpoint()
{
    const auto name = random_name();
    if (!name) return std::unexpected(name.error());
    return open_notify_endpoint("@clusterd/notify/" + *name);
}

ipc::Result<NotifyEndpoint> open_notify_endpoint(std::string name)
{
    sockaddr_un address{};
    if (!name.starts_with('@') || name.size() > sizeof address.sun_path)
        return ipc::fail(EINVAL, "bind " + name);
    NotifyEndpoint endpoint{
        .socket = ipc::UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)},
        .address = std::move(name)};
    if (!endpoint.socket) return ipc::fail(errno, "notify socket");
    // Before the name is known to anybody: a datagram carries its sender only from then on.
    const int on = 1;
    if (::setsockopt(endpoint.socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return ipc::fail(errno, "notify socket");
    address.sun_family = AF_UNIX;
    endpoint.address.copy(address.sun_path, endpoint.address.size());
    address.sun_path[0] = '\0';
    // Without a closing zero: it would be a part of the name.
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + endpoint.address.size());
    if (::bind(endpoint.socket.get(), reinterpret_cast<const sockaddr*>(&address), size) < 0)
        return ipc::fail(errno, "bind " + endpoint.address);
    return endpoint;
}

ipc::Result<Datagram> peek_datagram(int socket, std::span<char> into)
{
    iovec part{.iov_base = into.data(), .iov_len = into.size()};
    // Room for the sender, which the kernel writes first, and for nothing else: descriptors that
    // find no room never become ours (man 7 unix).
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t size = -1;
    do {
        size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_PEEK);
    } while (size < 0 && errno == EINTR);
    if (size < 0) return ipc::fail(errno, "recvmsg");
    Datagram datagram{.size = static_cast<std::size_t>(size),
                      .cut = (message.msg_flags & MSG_TRUNC) != 0};
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
        ucred sender{};
        std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
        datagram.sender = sender.uid;
    }
    return datagram;
}

void drop_datagram(int socket)
{
    char first = 0;
    ssize_t size = -1;
    do {
        size = ::recv(socket, &first, sizeof first, MSG_DONTWAIT); // the rest goes with it
    } while (size < 0 && errno == EINTR);
}

} // namespace cluster::supervisor
