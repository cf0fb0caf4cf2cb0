// Real TCP sockets on loopback, in this process and in a child of it.
#include "supervisor/sys/connections.hpp"

#include "tests/support/scripted_system.hpp"
#include "tests/unit/supervisor/sys/real_connections.hpp"

#include <doctest/doctest.h>

#include <netinet/tcp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <vector>

using namespace cluster::supervisor;
using namespace cluster::tests;
using cluster::ipc::LinuxSystem;
using cluster::ipc::UniqueFd;

namespace {

SocketDiag open_diag()
{
    auto diag = SocketDiag::open();
    REQUIRE(diag);
    return std::move(*diag);
}

std::vector<TcpSocket> listed(int family, TcpState state, std::vector<std::uint16_t> ports)
{
    auto diag = open_diag();
    auto found = diag.list(family, {state}, ports);
    if (!found) FAIL(found.error().text());
    return std::move(*found);
}

const TcpSocket* find(const std::vector<TcpSocket>& sockets, std::uint64_t inode)
{
    const auto found = std::ranges::find(sockets, inode, &TcpSocket::inode);
    return found == sockets.end() ? nullptr : &*found;
}

/// Both ends of one connection.
struct Pair {
    explicit Pair(int family = AF_INET)
        : listener{family}, client{connect_to(listener.port, family)}, server{listener.accept()}
    {
    }
    TcpListener listener;
    UniqueFd client;
    UniqueFd server;

    /// The server's end, as the list shows it.
    [[nodiscard]] TcpSocket socket(int family = AF_INET) const
    {
        const auto all = listed(family, TcpState::established, {listener.port});
        const TcpSocket* const found = find(all, inode_of(server));
        REQUIRE(found != nullptr);
        return *found;
    }
};

UniqueFd pidfd_of(pid_t pid)
{
    auto fd = LinuxSystem{}.pidfd_open(pid);
    REQUIRE(fd);
    return std::move(*fd);
}

bool always(const TcpFigures&)
{
    return true;
}

} // namespace

TEST_CASE("sockets held: the sockets among the descriptors of all processes")
{
    ScriptedSystem system;
    system.links["/proc/7/fd/0"] = "/dev/null";
    system.links["/proc/7/fd/3"] = "socket:[4711]";
    system.links["/proc/7/fd/4"] = "pipe:[4712]";
    system.links["/proc/7/fd/5"] = "anon_inode:[eventpoll]";
    system.links["/proc/9/fd/12"] = "socket:[4713]";
    const auto held = sockets_held(system, {7, 8, 9}); // 8 has gone
    REQUIRE(held.size() == 2);
    CHECK(held[0].pid == 7);
    CHECK(held[0].fd == 3);
    CHECK(held[0].inode == 4711);
    CHECK(held[1].pid == 9);
    CHECK(held[1].fd == 12);
    CHECK(held[1].inode == 4713);
}

TEST_CASE("sockets held: one that closes while we look is left out")
{
    ScriptedSystem system;
    system.links["/proc/7/fd/3"] = "socket:[4711]";
    system.links["/proc/7/fd/4"] = "socket:[4712]";
    system.fail_always("readlink /proc/7/fd/3", ENOENT);
    const auto held = sockets_held(system, {7});
    REQUIRE(held.size() == 1);
    CHECK(held[0].inode == 4712);
}

TEST_CASE("sockets held: what /proc says of this process is what fstat says")
{
    LinuxSystem system;
    const TcpListener listener;
    const auto held = sockets_held(system, {::getpid()});
    const auto found = std::ranges::find(held, inode_of(listener.fd), &HeldSocket::inode);
    REQUIRE(found != held.end());
    CHECK(found->fd == listener.fd.get());
    CHECK(found->pid == ::getpid());
}

TEST_CASE("list: a listener tells how many connections wait in it")
{
    for (const int family : {AF_INET, AF_INET6}) {
        CAPTURE(family);
        const TcpListener listener{family};
        const auto one = connect_to(listener.port, family);
        const auto two = connect_to(listener.port, family);
        const auto found = listed(family, TcpState::listen, {});
        const TcpSocket* const mine = find(found, inode_of(listener.fd));
        REQUIRE(mine != nullptr);
        CHECK(mine->port == listener.port);
        CHECK(mine->family == family);
        CHECK(mine->figures.state == TcpState::listen);
        CHECK(mine->figures.receive_queue == 2);
        // Nobody has accepted them, so that nobody holds them.
        const auto waiting = listed(family, TcpState::established, {listener.port});
        CHECK(waiting.size() == 2);
        CHECK(std::ranges::count(waiting, 0u, &TcpSocket::inode) == 2);
    }
}

TEST_CASE("list: only the ports asked for")
{
    const std::array<TcpListener, 5> listeners;
    for (std::size_t count = 1; count <= listeners.size(); ++count) {
        CAPTURE(count);
        std::vector<std::uint16_t> ports;
        ports.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            ports.push_back(listeners[i].port);
        std::vector<std::uint16_t> got;
        for (const TcpSocket& socket : listed(AF_INET, TcpState::listen, ports))
            got.push_back(socket.port);
        std::ranges::sort(ports);
        std::ranges::sort(got);
        CHECK(got == ports);
    }
}

TEST_CASE("list: connections that are half open")
{
    const TcpListener listener;
    const int seconds = 5; // the last step of the handshake does not count without any data
    ::setsockopt(listener.fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    const auto client = connect_to(listener.port);
    const auto half_open = listed(AF_INET, TcpState::syn_recv, {listener.port});
    REQUIRE(half_open.size() == 1);
    CHECK(half_open[0].figures.state == TcpState::syn_recv);
    CHECK(half_open[0].inode == 0);
    send_text(client, "x");
    CHECK(listed(AF_INET, TcpState::syn_recv, {listener.port}).empty());
}

TEST_CASE("refresh: figures follow the connection until it has gone")
{
    for (const int family : {AF_INET, AF_INET6}) {
        CAPTURE(family);
        auto diag = open_diag();
        Pair pair{family};
        TcpSocket socket = pair.socket(family);
        const std::array<TcpSocket*, 1> one{&socket};
        const auto refreshed = [&]() -> const TcpFigures& {
            REQUIRE(diag.refresh(one));
            return socket.figures;
        };
        CHECK(refreshed().received == 0);
        CHECK(refreshed().sent == 0);
        send_text(pair.client, "hello");
        CHECK(refreshed().received == 5);
        CHECK(refreshed().receive_queue == 5);
        CHECK(refreshed().segments_in == 1);
        CHECK(receive(pair.server) == "hello");
        CHECK(refreshed().receive_queue == 0);
        send_text(pair.server, "how are you");
        CHECK(refreshed().sent == 11);
        CHECK(refreshed().retransmitted == 0);
        CHECK(refreshed().state == TcpState::established);
        CHECK(refreshed().sent_ago.count() < 10'000);

        ::shutdown(pair.client.get(), SHUT_WR);
        CHECK(refreshed().state == TcpState::close_wait);
        const linger reset{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(pair.server.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        pair.server.reset();
        CHECK(refreshed().state == TcpState::gone);
    }
}

TEST_CASE("refresh: many sockets, each with its own figures")
{
    auto diag = open_diag();
    const TcpListener listener;
    std::vector<UniqueFd> clients;
    std::vector<UniqueFd> servers;
    for (int i = 0; i < 100; ++i) { // more than go out at once
        clients.push_back(connect_to(listener.port));
        servers.push_back(listener.accept());
    }
    auto sockets = listed(AF_INET, TcpState::established, {listener.port});
    std::erase_if(sockets, [&](const TcpSocket& socket) {
        return std::ranges::none_of(
            servers, [&](const UniqueFd& fd) { return inode_of(fd) == socket.inode; });
    });
    REQUIRE(sockets.size() == 100);
    for (std::size_t i = 0; i < clients.size(); ++i)
        send_text(clients[i], std::string(i + 1, 'x'));
    std::vector<TcpSocket*> all;
    all.reserve(sockets.size());
    for (TcpSocket& socket : sockets)
        all.push_back(&socket);
    REQUIRE(diag.refresh(all));
    for (std::size_t i = 0; i < servers.size(); ++i) {
        const TcpSocket* const mine = find(sockets, inode_of(servers[i]));
        REQUIRE(mine != nullptr);
        CHECK(mine->figures.received == i + 1);
    }
}

TEST_CASE("unsent bytes: what the client does not take is unsent or not acknowledged")
{
    auto diag = open_diag();
    const Pair pair;
    const std::string much(1 << 20, 'x');
    std::uint64_t written = 0;
    while (true) {
        const ssize_t size = ::send(pair.server.get(), much.data(), much.size(), MSG_DONTWAIT);
        if (size < 0) break;
        written += static_cast<std::uint64_t>(size);
    }
    const TcpFigures figures = pair.socket().figures;
    CHECK(figures.unsent > 0);
    CHECK(figures.sent - figures.retransmitted + figures.unsent == written);
}

TEST_CASE("close: the client gets a FIN, the process reads the end")
{
    Pair pair;
    Child child{[&] { return receive(pair.server) == "end" ? 7 : 1; }};
    const int fd = pair.server.get();
    const auto inode = inode_of(pair.server);
    pair.server.reset(); // the child alone has it now
    const auto pidfd = pidfd_of(child.pid());
    TcpFigures seen;
    const auto outcome = close_connection(pidfd.get(), fd, inode, [&](const TcpFigures& figures) {
        seen = figures;
        return true;
    });
    CHECK(outcome == CloseOutcome::closed);
    CHECK(seen.state == TcpState::established);
    CHECK(receive(pair.client) == "end");
    CHECK(child.wait() == 7);
}

TEST_CASE("close: the figures of the moment decide")
{
    const Pair pair;
    const auto pidfd = pidfd_of(::getpid());
    send_text(pair.client, "request");
    TcpFigures seen;
    const auto outcome = close_connection(pidfd.get(), pair.server.get(), inode_of(pair.server),
                                          [&](const TcpFigures& figures) {
                                              seen = figures;
                                              return false;
                                          });
    CHECK(outcome == CloseOutcome::spared);
    CHECK(seen.received == 7);
    CHECK(seen.receive_queue == 7);
    send_text(pair.server, "answer");
    CHECK(receive(pair.client) == "answer");
}

TEST_CASE("close: another socket, a file, a closed descriptor and a gone process are left alone")
{
    const Pair pair;
    const Pair other;
    const auto self = pidfd_of(::getpid());
    const int fd = pair.server.get();
    CHECK(close_connection(self.get(), fd, inode_of(other.server), always) == CloseOutcome::gone);
    CHECK(is_quiet(pair.client));
    CHECK(close_connection(self.get(), self.get(), inode_of(self), always) == CloseOutcome::gone);
    CHECK(close_connection(self.get(), 9999, 1, always) == CloseOutcome::gone);
    const auto inode = inode_of(pair.listener.fd);
    CHECK(close_connection(self.get(), pair.listener.fd.get(), inode, always) ==
          CloseOutcome::gone);

    Child child{[] { return 0; }};
    const auto pidfd = pidfd_of(child.pid());
    child.wait();
    CHECK(close_connection(pidfd.get(), fd, inode_of(pair.server), always) == CloseOutcome::gone);
}

TEST_CASE("close: where the call is forbidden that is told apart, and nothing happens")
{
    const Pair pair;
    Child child{[&] {
        if (!forbid(SYS_pidfd_getfd)) return 100;
        const auto pidfd = LinuxSystem{}.pidfd_open(::getpid());
        return static_cast<int>(
            close_connection(pidfd->get(), pair.server.get(), inode_of(pair.server), always));
    }};
    CHECK(child.wait() == static_cast<int>(CloseOutcome::not_allowed));
    CHECK(is_quiet(pair.client));
}
