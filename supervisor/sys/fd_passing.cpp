#include "supervisor/sys/fd_passing.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace cluster::supervisor {
namespace {

using ipc::fail;
using ipc::Result;

constexpr std::size_t kControlBytes = CMSG_SPACE(kMaxFdsPerMessage * sizeof(int));

void take_fds(const msghdr& message, std::vector<ipc::UniqueFd>& fds)
{
    for (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(header))) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            fds.emplace_back(fd);
        }
    }
}

} // namespace

Result<std::pair<ipc::UniqueFd, ipc::UniqueFd>> make_message_pair()
{
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0)
        return fail(errno, "socketpair");
    return std::pair{ipc::UniqueFd{ends[0]}, ipc::UniqueFd{ends[1]}};
}

Result<void> send_message(int socket, std::string_view bytes, std::span<const int> fds)
{
    if (fds.size() > kMaxFdsPerMessage || bytes.empty() || bytes.size() > kMaxMessageBytes)
        return fail(EMSGSIZE, "send a message");
    iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    alignas(cmsghdr) std::array<char, kControlBytes> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    ssize_t sent = -1;
    do {
        sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return fail(errno, "send a message");
    return {};
}

Result<ReceivedMessage> receive_message(int socket)
{
    std::array<char, kMaxMessageBytes> bytes;
    iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
    alignas(cmsghdr) std::array<char, kControlBytes> control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t size = -1;
    // A peer that has closed without reading everything makes one call fail with ECONNRESET; what
    // it has sent before is still there to be read.
    do {
        size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0) return fail(errno, "receive a message");
    ReceivedMessage received{.bytes = {bytes.data(), static_cast<std::size_t>(size)},
                             .fds = {},
                             .fds_lost = (message.msg_flags & MSG_CTRUNC) != 0};
    take_fds(message, received.fds);
    return received;
}

} // namespace cluster::supervisor
