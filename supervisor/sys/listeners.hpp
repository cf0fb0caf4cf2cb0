// Opens the listening sockets that apps declare (attribute `listen`). The daemon keeps them open as
// long as the app is declared, so that no restart of a worker refuses a connection.
//
// An address may have several sockets at a time: they are one SO_REUSEPORT group of the kernel, and
// `steer` says which of them get new connections (a classic BPF program, man 7 socket). The first
// one carries a program from birth, so that a second one gets nothing before it is told to.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace cluster::supervisor {

/// Binds and listens; close-on-exec. "3001" binds [::] dual stack and falls back to 0.0.0.0;
/// "127.0.0.1:3001", "[::1]:3001" literal addresses; "unix:/path" removes a stale socket file first
/// (one that refuses a connect). Errors name the address and, for EADDRINUSE, the pid and name of
/// the process holding it when /proc tells (`system` reads it).
ipc::Result<ipc::UniqueFd> open_listener(ipc::System& system, const ipc::ListenAddress& address);

/// One more socket for the address that `first` listens on. TCP: it joins the group as its last
/// member and gets no connection before `steer`. Unix: it listens under a name beside the path
/// until `take_path`.
ipc::Result<ipc::UniqueFd> join_listener(const ipc::ListenAddress& address, int first);

/// For a TCP socket that is bound and does not listen yet: that others may join it later, when
/// `join_listener` says so. Until then the address is in use for everybody.
void prepare_to_share(int socket);

/// Unix: the socket that joined last has the path from now on; the one before keeps what waits in
/// its queue. At no moment is nobody there.
ipc::Result<void> take_path(const ipc::ListenAddress& address);
/// Unix: the socket that joined last will never have the path.
void drop_path(const ipc::ListenAddress& address);

/// New connections go to the members with these indices (order of joining), at random; at least
/// one. `member` is any socket of the group. A group that never had a second member needs none.
ipc::Result<void> steer(int member, const std::vector<std::size_t>& indices);

/// One of a group, in the kernel's order.
struct GroupMember {
    int socket = -1;
    bool live = false;    ///< connections are steered to it
    bool leaving = false; ///< nobody has it any more
};

/// Closes those that are leaving, and tells who is left, by their places in `members`, in the
/// kernel's order. At each step every new connection goes to one that is live and stays, also for
/// whoever finds the group half done: the kernel fills a gap with the last member, whose number
/// then means nobody, and of a number that means nobody it makes any member. So one that cannot go
/// without moving the only live one among others stays for now; it can once another has joined.
std::vector<std::size_t> leave_group(const std::vector<GroupMember>& members);

/// Takes those that are `gone` out of the list of a group: the last member gets the place of one
/// that leaves, as in the kernel (net/core/sock_reuseport.c). Of several that have left without our
/// doing nobody knows in which order; the first of the list is taken for the first.
template <class Member, class Gone>
void erase_from_group(std::vector<Member>& members, Gone gone)
{
    for (std::size_t at = 0; at < members.size();) {
        if (!gone(members[at])) {
            ++at;
            continue;
        }
        std::swap(members[at], members.back());
        members.pop_back();
    }
}

/// Whether it listens.
[[nodiscard]] bool accepts(int socket);

/// Closes it for all who have it, now: a retired socket must not stay in its group because some
/// child of a worker still holds it.
void shut_listener(int socket);

/// Its port; 0 for a unix socket.
std::uint16_t port_of(int socket);
/// "127.0.0.1:3001", "[::]:3001" or "unix:/path".
std::string address_of(int socket);

} // namespace cluster::supervisor
