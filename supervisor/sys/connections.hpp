// The TCP sockets of other processes: which ones a process tree holds, what the kernel knows of
// each, and how to end one from outside with a clean FIN.
//
// The list comes by netlink (man 7 sock_diag) and needs no rights. A `list` walks the kernel's
// whole hash table of connections, whose size goes by the machine's memory (4 ms here, at 23 GB),
// so ask seldom; a `refresh` looks sockets up by their identity and takes about 2 µs each. Closing
// needs the right to trace the other process (man 2 pidfd_getfd), which containers often withhold.
#pragma once

#include "ipc/base/system.hpp"

#include <linux/inet_diag.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

namespace cluster::supervisor {

/// A socket of any kind that a process has open.
struct HeldSocket {
    pid_t pid = 0;
    int fd = -1;
    std::uint64_t inode = 0;
};

/// The sockets in /proc/PID/fd of these processes. One that has gone or may not be read has none.
std::vector<HeldSocket> sockets_held(ipc::System& system, const std::vector<pid_t>& pids);

/// The kernel's numbers (include/net/tcp_states.h) of the states that we name.
enum class TcpState : std::uint8_t {
    gone = 0,
    established = 1,
    syn_recv = 3,   ///< half open: the last step of the handshake is missing
    close_wait = 8, ///< the client has closed its side
    listen = 10,
};

/// From tcp_info and the queues. Times in whole jiffies; see man 7 tcp for the rest.
struct TcpFigures {
    TcpState state = TcpState::gone;
    std::uint32_t receive_queue = 0; ///< bytes not read; of a listener: connections not accepted
    std::uint32_t send_queue = 0;    ///< of a listener: how many may wait to be accepted
    std::uint32_t unsent = 0;        ///< bytes
    std::uint64_t received = 0;      ///< bytes, all time
    std::uint64_t sent = 0;          ///< bytes, all time, with the retransmitted ones
    std::uint64_t retransmitted = 0; ///< bytes, all time
    std::uint32_t unacknowledged = 0;
    std::uint32_t segments_in = 0; ///< with data
    std::chrono::milliseconds sent_ago{0};
    std::chrono::milliseconds received_ago{0};
    std::chrono::milliseconds ack_ago{0};
};

/// One TCP socket of the machine (of our network namespace).
struct TcpSocket {
    std::uint64_t inode = 0; ///< 0: nobody has accepted it yet
    int family = 0;          ///< AF_INET6 also for IPv4 on a dual-stack listener
    std::uint16_t port = 0;  ///< local
    inet_diag_sockid id{};   ///< the kernel's identity of it, cookie included
    TcpFigures figures;
};

class SocketDiag {
public:
    /// Errors: of socket(2), e.g. where the kernel was built without it.
    static ipc::Result<SocketDiag> open();

    /// The sockets of `family` in one of `states` with one of the local `ports`, or with any when
    /// there are none. Listeners are quick to list. Errors: of netlink; "list TCP sockets".
    ipc::Result<std::vector<TcpSocket>> list(int family, std::initializer_list<TcpState> states,
                                             std::span<const std::uint16_t> ports);

    /// Brings the figures up to date; a socket that has gone gets the state `gone`. Errors leave
    /// the rest as it was.
    ipc::Result<void> refresh(std::span<TcpSocket* const> sockets);

private:
    explicit SocketDiag(ipc::UniqueFd fd) : fd_{std::move(fd)} {}
    ipc::Result<void> refresh_batch(std::span<TcpSocket* const> sockets);

    ipc::UniqueFd fd_;
    std::uint32_t next_number_ = 1; ///< of requests: an answer carries that of its request
};

enum class CloseOutcome {
    closed,
    spared,      ///< `still_idle` said no, or we have no descriptor left: ask again later
    gone,        ///< the process or the socket has gone, or the descriptor means another one now
    not_allowed, ///< pidfd_getfd is refused here
};

/// Ends the connection that process `pidfd` has open as `fd`: if it is still the socket `inode` and
/// `still_idle` accepts its figures of this moment, nothing more is sent or received on it. The
/// client sees a FIN; the worker reads the end, as if the client had closed, and closes.
CloseOutcome close_connection(int pidfd, int fd, std::uint64_t inode,
                              const std::function<bool(const TcpFigures&)>& still_idle);

} // namespace cluster::supervisor
