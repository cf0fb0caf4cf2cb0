// Real sockets on loopback and in a scratch folder.
#include "supervisor/sys/listeners.hpp"

#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

using namespace cluster::supervisor;
using namespace cluster::tests;
using cluster::ipc::LinuxSystem;
using cluster::ipc::ListenAddress;
using cluster::ipc::Result;
using cluster::ipc::UniqueFd;

namespace {

Result<UniqueFd> listen_on(ListenAddress address)
{
    LinuxSystem system;
    return open_listener(system, address);
}

Result<UniqueFd> listen_on(const std::string& text)
{
    return listen_on(ListenAddress{.text = text, .name = text, .backlog = {}, .mode = {}});
}

int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(fd, level, name, &value, &size);
    return value;
}

struct Bound {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    explicit Bound(int fd) { ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size); }
    [[nodiscard]] int port() const
    {
        return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port); // same place in v6
    }
};

bool connects(int family, const char* host, int port)
{
    const UniqueFd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const auto number = htons(static_cast<std::uint16_t>(port));
    if (family == AF_INET) {
        sockaddr_in to{.sin_family = AF_INET, .sin_port = number, .sin_addr = {}, .sin_zero = {}};
        ::inet_pton(family, host, &to.sin_addr);
        return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = number;
    ::inet_pton(family, host, &to.sin6_addr);
    return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
}

bool have_ipv6()
{
    return listen_on("[::1]:0").has_value();
}

std::string my_name()
{
    return LinuxSystem{}.read_file("/proc/self/comm").value().substr(0, 15);
}

} // namespace

TEST_CASE("listeners: a port alone is heard over IPv4 and IPv6")
{
    const auto socket = listen_on("0");
    REQUIRE(socket);
    const Bound bound{socket->get()};
    CHECK(option(socket->get(), SOL_SOCKET, SO_ACCEPTCONN) == 1);
    CHECK(option(socket->get(), SOL_SOCKET, SO_REUSEADDR) == 1);
    CHECK((::fcntl(socket->get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(connects(AF_INET, "127.0.0.1", bound.port()));
    if (have_ipv6()) CHECK(connects(AF_INET6, "::1", bound.port()));
}

TEST_CASE("listeners: a literal address is heard there alone")
{
    const auto v4 = listen_on("127.0.0.1:0");
    REQUIRE(v4);
    CHECK(Bound{v4->get()}.storage.ss_family == AF_INET);
    CHECK(connects(AF_INET, "127.0.0.1", Bound{v4->get()}.port()));
    CHECK(!connects(AF_INET, "127.0.0.2", Bound{v4->get()}.port()));
    if (!have_ipv6()) return;
    const auto v6 = listen_on("[::]:0");
    REQUIRE(v6);
    CHECK(option(v6->get(), IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    CHECK(connects(AF_INET6, "::1", Bound{v6->get()}.port()));
    CHECK(!connects(AF_INET, "127.0.0.1", Bound{v6->get()}.port()));
}

TEST_CASE("listeners: an address in use is told with its holder")
{
    const auto first = listen_on("127.0.0.1:0");
    const std::string text = "127.0.0.1:" + std::to_string(Bound{first->get()}.port());
    const auto second = listen_on(text);
    REQUIRE(!second);
    CHECK(second.error().code.value() == EADDRINUSE);
    std::string comm = my_name();
    comm.resize(std::min(comm.find('\n'), comm.size()));
    CHECK(second.error().text() == "listen on " + text + " (held by " + comm + ", pid " +
                                       std::to_string(::getpid()) + "): address already in use");
}

TEST_CASE("listeners: what is no address is refused in words")
{
    for (const char* const text : {"", "http", "70000", "127.0.0.1", "localhost:80", "::1:80",
                                   "[::1]", "[127.0.0.1]:80", "1.2.3:80", "127.0.0.1:-1"}) {
        CAPTURE(text);
        const auto socket = listen_on(text);
        REQUIRE(!socket);
        CHECK(socket.error().text() == std::string{"listen address must be a port, ADDRESS:PORT, "
                                                   "[ADDRESS]:PORT or unix:PATH, got "} +
                                           text);
    }
    CHECK(listen_on("192.0.2.1:0").error().text() ==
          "listen on 192.0.2.1:0: cannot assign requested address");
}

TEST_CASE("listeners: a unix socket has its mode, and a stale file makes way for it")
{
    const Scratch scratch;
    const std::string path = scratch.path + "/x.sock";
    const ListenAddress address{.text = "unix:" + path, .name = "x", .backlog = 7, .mode = 0620U};
    for (int round = 0; round < 2; ++round) { // the second finds the file of the first
        const auto socket = listen_on(address);
        REQUIRE(socket);
        struct stat there{};
        CHECK(::stat(path.c_str(), &there) == 0);
        CHECK((there.st_mode & 07777U) == 0620);
    }
}

TEST_CASE("listeners: a unix socket that is alive, and a file that is no socket, are left alone")
{
    const Scratch scratch;
    const std::string text = "unix:" + scratch.path + "/x.sock";
    const auto first = listen_on(text);
    REQUIRE(first);
    const auto second = listen_on(text);
    REQUIRE(!second);
    CHECK(second.error().text().find("held by " + my_name().substr(0, 4)) != std::string::npos);

    const std::string plain = scratch.file("data", "precious", 0644);
    CHECK(listen_on("unix:" + plain).error().code.value() == EADDRINUSE);
    CHECK(LinuxSystem{}.read_file(plain) == "precious");
}

TEST_CASE("listeners: a path that fits no socket address, or no folder, is refused")
{
    CHECK(listen_on("unix:").error().text() ==
          "listen address unix: must have 1 to 107 bytes of path, got 0");
    CHECK(listen_on("unix:/" + std::string(107, 'x'))
              .error()
              .text()
              .ends_with("must have 1 to 107 bytes of path, got 108"));
    CHECK(listen_on("unix:/no/such/folder/x").error().text() ==
          "listen on unix:/no/such/folder/x: no such file or directory");
}
