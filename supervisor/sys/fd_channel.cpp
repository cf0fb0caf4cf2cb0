#include "supervisor/sys/fd_channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace cluster::supervisor {
namespace {

/// There is no room for descriptors: the kernel closes those that come along, and says so
/// (man 7 unix).
ipc::Result<Received> receive(int socket, std::span<char> into, int flags)
{
    iovec part{.iov_base = into.data(), .iov_len = into.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t size = -1;
    do {
        size = ::recvmsg(socket, &message, MSG_DONTWAIT | flags);
    } while (size < 0 && errno == EINTR);
    if (size < 0) return ipc::fail(errno, "recvmsg");
    return Received{.size = static_cast<std::size_t>(size),
                    .handles = (message.msg_flags & MSG_CTRUNC) != 0};
}

} // namespace

ipc::Result<SocketPair> make_socket_pair()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return ipc::fail(errno, "socketpair");
    SocketPair pair{.ours = ipc::UniqueFd{ends[0]}, .theirs = ipc::UniqueFd{ends[1]}};
    if (::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK) < 0) return ipc::fail(errno, "fcntl");
    return pair;
}

ipc::Result<std::size_t> send_with_handle(int socket, std::string_view bytes, int handle)
{
    iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof handle)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (handle >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof handle);
        std::memcpy(CMSG_DATA(header), &handle, sizeof handle);
    }
    ssize_t sent = -1;
    do {
        sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return ipc::fail(errno, "sendmsg");
    return static_cast<std::size_t>(sent);
}

ipc::Result<Received> receive_bytes(int socket, std::span<char> into)
{
    return receive(socket, into, 0);
}

ipc::Result<Received> peek_bytes(int socket, std::span<char> into)
{
    return receive(socket, into, MSG_PEEK);
}

} // namespace cluster::supervisor
