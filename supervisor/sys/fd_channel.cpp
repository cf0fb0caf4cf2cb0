#include "supervisor/sys/fd_channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace cluster::supervisor {
namespace {

/// The kernel's limit for one message (SCM_MAX_FD).
constexpr std::size_t kMaxHandles = 253;

void close_handles(const cmsghdr& header)
{
    if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS) return;
    const std::size_t count = (header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(&header) + i * sizeof fd, sizeof fd);
        const ipc::UniqueFd closed{fd};
    }
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
    iovec part{.iov_base = into.data(), .iov_len = into.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxHandles * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t size = -1;
    do {
        size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) return ipc::fail(errno, "recvmsg");
    Received received{.size = static_cast<std::size_t>(size),
                      .handles = (message.msg_flags & MSG_CTRUNC) != 0};
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        received.handles = true;
        close_handles(*header);
    }
    return received;
}

} // namespace cluster::supervisor
