// Real sockets on loopback and in a scratch folder.
#include "supervisor/sys/listeners.hpp"

#include "supervisor/sys/keeper.hpp"
#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
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
    ListenAddress address;
    address.text = address.name = text;
    return listen_on(std::move(address));
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
    ListenAddress address;
    address.text = "unix:" + path;
    address.backlog = 7;
    address.mode = 0620U;
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

TEST_CASE("listeners: a second socket of an address gets connections when it is told to")
{
    ListenAddress address;
    address.text = address.name = "127.0.0.1:0";
    LinuxSystem system;
    const auto first = open_listener(system, address);
    REQUIRE(first);
    const int port = port_of(first->get());
    const auto second = join_listener(address, first->get());
    REQUIRE(second);
    CHECK(port_of(second->get()) == port);
    CHECK(inode_of(first->get()) != inode_of(second->get()));
    const auto waiting = [](int socket) {
        pollfd about{.fd = socket, .events = POLLIN, .revents = 0};
        int count = 0;
        while (::poll(&about, 1, 0) == 1) {
            const UniqueFd connection{::accept(socket, nullptr, nullptr)};
            ++count;
        }
        return count;
    };
    const auto connect_ten = [&] {
        for (int i = 0; i < 10; ++i)
            CHECK(connects(AF_INET, "127.0.0.1", port));
    };
    connect_ten();
    CHECK(waiting(first->get()) == 10);
    CHECK(waiting(second->get()) == 0);

    REQUIRE(steer(first->get(), {1}));
    connect_ten();
    CHECK(waiting(first->get()) == 0);
    CHECK(waiting(second->get()) == 10);

    REQUIRE(steer(first->get(), {0, 1}));
    for (int i = 0; i < 10; ++i) // 100 connections and none for one of them: once in 10^29
        connect_ten();
    const int for_first = waiting(first->get());
    CHECK(for_first > 0);
    CHECK(waiting(second->get()) == 100 - for_first);

    // The first one leaves, and what held a duplicate does not keep it in the group.
    const UniqueFd held{::dup(first->get())};
    shut_listener(first->get());
    REQUIRE(steer(second->get(), {0}));
    connect_ten();
    CHECK(waiting(second->get()) == 10);
}

TEST_CASE("listeners: an address with two sockets of ours is still in use for others")
{
    ListenAddress address;
    address.text = address.name = "127.0.0.1:0";
    LinuxSystem system;
    const auto first = open_listener(system, address);
    REQUIRE(first);
    address.text = "127.0.0.1:" + std::to_string(port_of(first->get()));
    const auto other = open_listener(system, address);
    REQUIRE(!other);
    CHECK(other.error().code.value() == EADDRINUSE);
}

TEST_CASE("listeners: a second unix socket takes the path over and the first keeps its queue")
{
    const Scratch scratch;
    ListenAddress address;
    address.text = address.name = "unix:" + scratch.path + "/x.sock";
    address.mode = 0600;
    LinuxSystem system;
    const auto first = open_listener(system, address);
    REQUIRE(first);
    const auto connect_once = [&] {
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        address.text.copy(to.sun_path, sizeof to.sun_path - 1, 5);
        UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
        return fd;
    };
    const UniqueFd before = connect_once();
    const auto second = join_listener(address, first->get());
    REQUIRE(second);
    const UniqueFd still = connect_once();
    REQUIRE(take_path(address));
    const UniqueFd after = connect_once();
    pollfd waits[] = {{.fd = first->get(), .events = POLLIN, .revents = 0},
                      {.fd = second->get(), .events = POLLIN, .revents = 0}};
    CHECK(::poll(waits, 2, 0) == 2);
    const UniqueFd one{::accept(first->get(), nullptr, nullptr)};
    const UniqueFd two{::accept(first->get(), nullptr, nullptr)};
    CHECK(::poll(waits, 1, 0) == 0);
    CHECK(address_of(first->get()) == address.text);
    struct stat about{};
    CHECK(::stat(address.text.c_str() + 5, &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);
}
