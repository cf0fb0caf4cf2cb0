#include "supervisor/sys/dial.hpp"

#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

/// A listening socket on a loopback address of the family, and its port.
struct Listening {
    ipc::UniqueFd fd;
    std::uint16_t port = 0;
};

Listening listen_on(int family)
{
    Listening made{.fd = ipc::UniqueFd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)}};
    sockaddr_storage storage{};
    if (family == AF_INET) {
        auto& address = reinterpret_cast<sockaddr_in&>(storage);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        auto& address = reinterpret_cast<sockaddr_in6&>(storage);
        address.sin6_family = AF_INET6;
        address.sin6_addr = in6addr_loopback;
    }
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    REQUIRE(::bind(made.fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
    REQUIRE(::listen(made.fd.get(), 8) == 0);
    REQUIRE(::getsockname(made.fd.get(), reinterpret_cast<sockaddr*>(&storage), &size) == 0);
    made.port = ntohs(reinterpret_cast<sockaddr_in&>(storage).sin_port);
    return made;
}

bool becomes(int fd, short events)
{
    pollfd ready{.fd = fd, .events = events, .revents = 0};
    return ::poll(&ready, 1, 10'000) == 1;
}

/// The socket's connecting is over; how it has ended.
ipc::Result<void> outcome(const ipc::Result<ipc::UniqueFd>& dialled)
{
    if (!dialled) return std::unexpected(dialled.error());
    REQUIRE(becomes(dialled->get(), POLLOUT));
    return connect_result(dialled->get());
}

void check_flags(int fd)
{
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

} // namespace

TEST_CASE("dial: a listening socket is reached by every way of writing its address")
{
    const Listening v4 = listen_on(AF_INET);
    const Listening v6 = listen_on(AF_INET6);
    const struct {
        const char* host;
        std::uint16_t port;
    } rows[] = {{"127.0.0.1", v4.port}, {"0.0.0.0", v4.port}, {"::1", v6.port},
                {"[::1]", v6.port},     {"::", v6.port},      {"::ffff:127.0.0.1", v4.port}};
    for (const auto& row : rows) {
        CAPTURE(row.host);
        const auto socket = dial_tcp(row.host, row.port);
        const auto connected = outcome(socket);
        if (!connected) FAIL(connected.error().text());
        check_flags(socket->get());
    }
}

TEST_CASE("dial: a port that nobody listens on refuses")
{
    const std::uint16_t port = listen_on(AF_INET).port; // closed again
    const auto refused = outcome(dial_tcp("127.0.0.1", port));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == std::errc::connection_refused);
    CHECK(refused.error().text().ends_with("connection refused"));
}

TEST_CASE("dial: names are not looked up")
{
    for (const char* host : {"localhost", "example.org", "", "1.2.3.4.5", "[::1"}) {
        CAPTURE(host);
        const auto socket = dial_tcp(host, 80);
        REQUIRE_FALSE(socket);
        CHECK(socket.error().text().starts_with("connect to "));
        CHECK(socket.error().text().find(host) != std::string::npos);
    }
}

TEST_CASE("dial: a unix socket is reached, and errors name its path")
{
    const tests::Scratch scratch;
    const std::string path = scratch.path + "/x.sock";
    const ipc::UniqueFd server{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    REQUIRE(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(server.get(), 0) == 0);

    const auto socket = dial_unix(path);
    REQUIRE(outcome(socket));
    check_flags(socket->get());

    const auto full = dial_unix(path); // a backlog of 0 is one connection
    REQUIRE_FALSE(full);
    CHECK(full.error().code == std::errc::resource_unavailable_try_again);

    const std::string missing = scratch.path + "/none.sock";
    for (const std::string& bad : {missing, std::string(200, 'x')}) {
        const auto failed = dial_unix(bad);
        REQUIRE_FALSE(failed);
        CHECK(failed.error().text().starts_with("connect to " + bad + ": "));
    }
}

TEST_CASE("dial: a socket that has reached only itself was refused")
{
    // TCP's simultaneous open: bound to the port that it connects to.
    const ipc::UniqueFd self{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(self.get(), any, size) == 0);
    REQUIRE(::getsockname(self.get(), any, &size) == 0);
    REQUIRE(::connect(self.get(), any, size) == 0);
    const auto result = connect_result(self.get());
    REQUIRE_FALSE(result);
    CHECK(result.error().code == std::errc::connection_refused);
}

TEST_CASE("loopback pair: two ends of one TCP connection, and nobody listens any more")
{
    const auto pair = loopback_pair();
    REQUIRE(pair);
    check_flags(pair->ours.get());
    check_flags(pair->theirs.get());
    REQUIRE(becomes(pair->ours.get(), POLLOUT));
    CHECK(connect_result(pair->ours.get()));
    for (const auto& [from, to] : {std::pair{pair->ours.get(), pair->theirs.get()},
                                   std::pair{pair->theirs.get(), pair->ours.get()}}) {
        char got[4] = {};
        REQUIRE(::send(from, "ping", 4, 0) == 4);
        REQUIRE(becomes(to, POLLIN));
        REQUIRE(::recv(to, got, 4, 0) == 4);
        CHECK(std::string(got, 4) == "ping");
    }
    sockaddr_in place{};
    socklen_t size = sizeof place;
    REQUIRE(::getpeername(pair->ours.get(), reinterpret_cast<sockaddr*>(&place), &size) == 0);
    CHECK(ntohl(place.sin_addr.s_addr) == INADDR_LOOPBACK);
    const auto again = outcome(dial_tcp("127.0.0.1", ntohs(place.sin_port)));
    REQUIRE_FALSE(again);
    CHECK(again.error().code == std::errc::connection_refused);
}

TEST_CASE("loopback pair: a thousand pairs never mix up their ends")
{
    for (int i = 0; i < 1000; ++i) {
        const auto one = loopback_pair();
        const auto two = loopback_pair();
        REQUIRE(one);
        REQUIRE(two);
        char got = 0;
        REQUIRE(::send(one->ours.get(), "1", 1, 0) == 1);
        REQUIRE(::send(two->ours.get(), "2", 1, 0) == 1);
        REQUIRE(becomes(one->theirs.get(), POLLIN));
        REQUIRE(::recv(one->theirs.get(), &got, 1, 0) == 1);
        REQUIRE(got == '1');
    }
}
