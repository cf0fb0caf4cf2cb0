#include "supervisor/sys/connections.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/keeper.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::supervisor {
namespace {

/// As many look-ups as go out at once: their answers fit into a socket's default receive buffer.
constexpr std::size_t kBatch = 32;
constexpr std::size_t kAnswerBytes = 2048; ///< of one look-up; about 500 are used
constexpr std::size_t kListBytes = 32768;  ///< the kernel's answers come in pieces of this size
constexpr const char* kListWhat = "list TCP sockets";

template <class T>
void append(std::vector<char>& bytes, const T& value)
{
    const auto* const from = reinterpret_cast<const char*>(&value);
    bytes.insert(bytes.end(), from, from + sizeof value);
}

std::chrono::milliseconds time_of(std::uint32_t ms)
{
    // The kernel subtracts from a "now" that it has taken before locking the socket: what happened
    // in between is a negative time.
    constexpr std::uint32_t kNegative = 1u << 31;
    return std::chrono::milliseconds{ms >= kNegative ? 0 : ms};
}

TcpFigures figures_of(const tcp_info& info, std::uint32_t receive_queue)
{
    return {.state = TcpState{info.tcpi_state},
            .receive_queue = receive_queue,
            .unsent = info.tcpi_notsent_bytes,
            .received = info.tcpi_bytes_received,
            .sent = info.tcpi_bytes_sent,
            .retransmitted = info.tcpi_bytes_retrans,
            .unacknowledged = info.tcpi_unacked,
            .segments_in = info.tcpi_data_segs_in,
            .sent_ago = time_of(info.tcpi_last_data_sent),
            .received_ago = time_of(info.tcpi_last_data_recv),
            .ack_ago = time_of(info.tcpi_last_ack_recv)};
}

/// Instructions for the kernel: one of `ports` is the local port. Each tests one port; when it fits
/// the next instruction jumps to the end (yes), when not, that one is jumped over. Behind the last
/// test there is none, and jumping over nothing means no.
std::vector<char> port_filter(std::span<const std::uint16_t> ports)
{
    constexpr std::uint16_t kOp = sizeof(inet_diag_bc_op);
    std::vector<char> code;
    for (std::size_t after = ports.size(); after-- > 0;) { // how many tests follow this one
        append(code, inet_diag_bc_op{.code = INET_DIAG_BC_S_EQ, .yes = 2 * kOp, .no = 3 * kOp});
        append(code, inet_diag_bc_op{.code = 0, .yes = 0, .no = ports[after]});
        if (after == 0) break;
        const auto to_end = static_cast<std::uint16_t>(after * 3 * kOp);
        append(code, inet_diag_bc_op{.code = INET_DIAG_BC_JMP, .yes = kOp, .no = to_end});
    }
    return code;
}

/// Adds one request to what is to be sent.
void append_request(std::vector<char>& bytes, std::uint32_t number, std::uint16_t flags,
                    const inet_diag_req_v2& request, const std::vector<char>& filter)
{
    const std::size_t attribute = filter.empty() ? 0 : NLA_HDRLEN + filter.size();
    append(bytes, nlmsghdr{.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) +
                                                                   sizeof request + attribute),
                           .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags),
                           .nlmsg_seq = number,
                           .nlmsg_pid = 0});
    append(bytes, request);
    if (filter.empty()) return;
    append(bytes, nlattr{.nla_len = static_cast<std::uint16_t>(attribute),
                         .nla_type = INET_DIAG_REQ_BYTECODE});
    bytes.insert(bytes.end(), filter.begin(), filter.end());
}

inet_diag_req_v2 request_for(int family, std::uint32_t states)
{
    inet_diag_req_v2 request{};
    request.sdiag_family = static_cast<std::uint8_t>(family);
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_ext = 1u << (INET_DIAG_INFO - 1);
    request.idiag_states = states;
    return request;
}

/// Reads one answer: the fixed part, and the tcp_info among its attributes.
TcpSocket socket_in(const nlmsghdr& header)
{
    inet_diag_msg message{};
    const auto* at = static_cast<const char*>(NLMSG_DATA(&header));
    std::memcpy(&message, at, sizeof message);
    tcp_info info{}; // what an older kernel does not tell stays 0
    auto left = static_cast<int>(NLMSG_PAYLOAD(&header, sizeof message));
    for (const auto* a = reinterpret_cast<const rtattr*>(at + NLMSG_ALIGN(sizeof message));
         RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == INET_DIAG_INFO)
            std::memcpy(&info, RTA_DATA(a), std::min(RTA_PAYLOAD(a), sizeof info));
    info.tcpi_state = message.idiag_state; // of a half-open one there is no tcp_info
    TcpFigures figures = figures_of(info, message.idiag_rqueue);
    figures.send_queue = message.idiag_wqueue;
    return {.inode = message.idiag_inode,
            .family = message.idiag_family,
            .port = ntohs(message.id.idiag_sport),
            .id = message.id,
            .figures = figures};
}

/// Calls `visit` with each message of one datagram.
template <class Visit>
void for_each_message(const char* bytes, std::size_t size, Visit visit)
{
    auto left = static_cast<unsigned>(size);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(bytes); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left))
        visit(*header);
}

/// The errno in an error answer; 0 in the others.
int error_in(const nlmsghdr& header)
{
    if (header.nlmsg_type != NLMSG_ERROR) return 0;
    nlmsgerr error{};
    std::memcpy(&error, NLMSG_DATA(&header), sizeof error);
    return -error.error;
}

bool is_socket(int fd, std::uint64_t inode)
{
    struct stat there{};
    return ::fstat(fd, &there) == 0 && S_ISSOCK(there.st_mode) && there.st_ino == inode;
}

/// The figures of a socket of our own; state `gone` when it is no TCP socket.
TcpFigures figures_of(int fd)
{
    tcp_info info{};
    socklen_t size = sizeof info;
    int queue = 0;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return {};
    // Fails for a listener, which nobody wants to close.
    if (::ioctl(fd, SIOCINQ, &queue) < 0) return {};
    return figures_of(info, static_cast<std::uint32_t>(queue));
}

CloseOutcome outcome_of(int error)
{
    switch (error) {
    case EPERM:
    case EACCES:
    case ENOSYS: // what some containers answer for a call that they forbid
        return CloseOutcome::not_allowed;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return CloseOutcome::spared;
    default:
        return CloseOutcome::gone;
    }
}

} // namespace

std::vector<HeldSocket> sockets_held(ipc::System& system, const std::vector<pid_t>& pids)
{
    std::vector<HeldSocket> held;
    for (const pid_t pid : pids) {
        const std::string folder = "/proc/" + std::to_string(pid) + "/fd/";
        const auto names = system.list_directory(folder);
        if (!names) continue;
        for (const std::string& name : *names) {
            const auto target = system.readlink(folder + name);
            if (!target || !target->starts_with("socket")) continue;
            const auto fd = ipc::parse_number<int>(name);
            const auto inode = inode_in(*target);
            if (fd && inode) held.push_back({.pid = pid, .fd = *fd, .inode = *inode});
        }
    }
    return held;
}

ipc::Result<SocketDiag> SocketDiag::open()
{
    ipc::UniqueFd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)};
    if (!fd) return ipc::fail(errno, "open a socket for lists of sockets");
    return SocketDiag{std::move(fd)};
}

ipc::Result<std::vector<TcpSocket>> SocketDiag::list(int family,
                                                     std::initializer_list<TcpState> states,
                                                     std::span<const std::uint16_t> ports)
{
    std::uint32_t mask = 0;
    for (const TcpState state : states)
        mask |= 1u << static_cast<unsigned>(state);
    std::vector<char> request;
    const std::uint32_t number = next_number_++;
    append_request(request, number, NLM_F_DUMP, request_for(family, mask), port_filter(ports));
    if (::send(fd_.get(), request.data(), request.size(), 0) < 0)
        return ipc::fail(errno, kListWhat);

    std::vector<TcpSocket> found;
    alignas(nlmsghdr) std::array<char, kListBytes> buffer;
    for (bool more = true; more;) {
        // Waits for nothing: the kernel makes each piece while it is being asked for.
        const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0) return ipc::fail(errno, kListWhat);
        int error = 0;
        for_each_message(buffer.data(), static_cast<std::size_t>(size), [&](const nlmsghdr& part) {
            if (part.nlmsg_seq != number) return; // left over from a failure
            if (part.nlmsg_type == SOCK_DIAG_BY_FAMILY) return found.push_back(socket_in(part));
            more = false;
            error = error_in(part);
        });
        if (error != 0) return ipc::fail(error, kListWhat);
    }
    return found;
}

ipc::Result<void> SocketDiag::refresh(std::span<TcpSocket* const> sockets)
{
    while (!sockets.empty()) {
        const auto batch = sockets.first(std::min(kBatch, sockets.size()));
        if (const auto done = refresh_batch(batch); !done) return done;
        sockets = sockets.subspan(batch.size());
    }
    return {};
}

ipc::Result<void> SocketDiag::refresh_batch(std::span<TcpSocket* const> sockets)
{
    std::vector<char> requests;
    const std::uint32_t first = next_number_;
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        inet_diag_req_v2 request = request_for(sockets[i]->family, ~0u);
        request.id = sockets[i]->id;
        append_request(requests, next_number_++, 0, request, {});
    }
    if (::send(fd_.get(), requests.data(), requests.size(), 0) < 0)
        return ipc::fail(errno, kListWhat);

    alignas(nlmsghdr) std::array<char, kBatch * kAnswerBytes> buffer;
    std::array<iovec, kBatch> places{};
    std::array<mmsghdr, kBatch> answers{};
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        places[i] = {.iov_base = buffer.data() + i * kAnswerBytes, .iov_len = kAnswerBytes};
        answers[i].msg_hdr.msg_iov = &places[i];
        answers[i].msg_hdr.msg_iovlen = 1;
    }
    // Each request is answered, with an error if need be, before send returns.
    const int count = ::recvmmsg(fd_.get(), answers.data(), static_cast<unsigned>(sockets.size()),
                                 MSG_DONTWAIT, nullptr);
    if (count < 0) return ipc::fail(errno, kListWhat);
    if (static_cast<std::size_t>(count) < sockets.size()) return ipc::fail(ENOBUFS, kListWhat);
    for (std::size_t n = 0; n < sockets.size(); ++n) {
        for_each_message(buffer.data() + n * kAnswerBytes, answers[n].msg_len,
                         [&](const nlmsghdr& part) {
                             const std::uint32_t index = part.nlmsg_seq - first;
                             if (index >= sockets.size()) return; // left over from a failure
                             TcpSocket& socket = *sockets[index];
                             if (part.nlmsg_type == SOCK_DIAG_BY_FAMILY)
                                 socket.figures = socket_in(part).figures;
                             else
                                 socket.figures.state = TcpState::gone;
                         });
    }
    return {};
}

CloseOutcome close_connection(int pidfd, int fd, std::uint64_t inode,
                              const std::function<bool(const TcpFigures&)>& still_idle)
{
    // Held for microseconds only: as long as we have it, the worker's own close sends no FIN.
    const ipc::UniqueFd copy{static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0))};
    if (!copy) return outcome_of(errno);
    if (!is_socket(copy.get(), inode)) return CloseOutcome::gone;
    const TcpFigures figures = figures_of(copy.get());
    if (figures.state == TcpState::gone) return CloseOutcome::gone;
    if (!still_idle(figures)) return CloseOutcome::spared;
    return ::shutdown(copy.get(), SHUT_RDWR) == 0 ? CloseOutcome::closed : CloseOutcome::gone;
}

} // namespace cluster::supervisor
