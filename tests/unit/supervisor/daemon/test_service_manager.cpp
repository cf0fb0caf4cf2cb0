#include "supervisor/daemon/service_manager.hpp"

#include "supervisor/sys/fd_passing.hpp"
#include "supervisor/sys/keeper.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

constexpr pid_t kGuardian = 4711;

ServiceSettings parse(const std::map<std::string, std::string>& variables)
{
    return parse_service_settings(
        [&](const char* name) {
            const auto found = variables.find(name);
            return found == variables.end() ? nullptr : found->second.c_str();
        },
        kGuardian);
}

struct Silence final : Log {
    void info(std::string_view) override {}
    void warn(std::string_view) override { ++warnings; }
    void error(std::string_view) override {}
    int warnings = 0;
};

/// systemd's end.
struct Inbox {
    Inbox()
    {
        socket.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        // The kernel gives it an abstract name.
        REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof address.sun_family) == 0);
        socklen_t size = sizeof address;
        REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
        name = "@" + std::string{address.sun_path + 1, size - sizeof address.sun_family - 1};
    }
    ipc::UniqueFd socket;
    std::string name;
};

struct Scene {
    explicit Scene(std::size_t most_stored = 8)
        : service{loop, log, {.notify_socket = inbox.name, .most_stored = most_stored}}
    {
    }
    std::string next()
    {
        auto received = receive_message(inbox.socket.get());
        if (!received) return "";
        fds = std::move(received->fds);
        return received->bytes;
    }
    Inbox inbox;
    boost::asio::io_context loop;
    Silence log;
    ServiceManager service;
    std::vector<ipc::UniqueFd> fds;
};

} // namespace

TEST_CASE("service settings: what systemd says is taken, what is meant for others is not")
{
    const auto all = parse({{"NOTIFY_SOCKET", "/run/systemd/notify"},
                            {"FDSTORE", "2048"},
                            {"LISTEN_PID", "4711"},
                            {"LISTEN_FDS", "3"},
                            {"WATCHDOG_PID", "4711"},
                            {"WATCHDOG_USEC", "30000000"}});
    CHECK(all.notify_socket == "/run/systemd/notify");
    CHECK(all.most_stored == 2048);
    CHECK(all.passed_fds == 3);
    CHECK(all.watchdog == std::chrono::seconds{30});

    const auto none = parse({});
    CHECK(none.notify_socket.empty());
    CHECK((none.most_stored == 0 && none.passed_fds == 0 && none.watchdog.count() == 0));

    const auto others = parse({{"LISTEN_PID", "1"},
                               {"LISTEN_FDS", "3"},
                               {"WATCHDOG_PID", "1"},
                               {"WATCHDOG_USEC", "1000"}});
    CHECK((others.passed_fds == 0 && others.watchdog.count() == 0));

    const auto nonsense = parse({{"FDSTORE", "many"},
                                 {"LISTEN_PID", "4711"},
                                 {"LISTEN_FDS", "-3"},
                                 {"WATCHDOG_USEC", "-1"}});
    CHECK((nonsense.most_stored == 0 && nonsense.passed_fds == 0));
    CHECK(nonsense.watchdog.count() == 0);
}

TEST_CASE("service manager: sockets have the last quarter of the store for themselves")
{
    CHECK(worth_storing(false, 5, 8));
    CHECK_FALSE(worth_storing(false, 6, 8));
    CHECK(worth_storing(true, 7, 8));
    CHECK_FALSE(worth_storing(true, 8, 8));
    CHECK_FALSE(worth_storing(true, 0, 0));
}

TEST_CASE("service manager: descriptors are stored and removed by their inode")
{
    Scene scene;
    const ipc::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const std::string inode = std::to_string(inode_of(socket.get()));
    scene.service.store(socket.get(), 0);
    CHECK(scene.next() == "FDSTORE=1\nFDNAME=" + inode);
    REQUIRE(scene.fds.size() == 1);
    CHECK(inode_of(scene.fds[0].get()) == inode_of(socket.get()));
    scene.service.remove(inode_of(socket.get()));
    CHECK(scene.next() == "FDSTOREREMOVE=1\nFDNAME=" + inode);
}

TEST_CASE("service manager: without a store nothing is sent there")
{
    Scene scene{0};
    scene.service.store(0, 0);
    scene.service.remove(17);
    CHECK(scene.next().empty());
}

TEST_CASE("service manager: what finds no room waits, in order")
{
    Scene scene;
    constexpr int kMany = 3000; // more than any queue of datagrams
    for (int number = 0; number < kMany; ++number)
        scene.service.tell("X=" + std::to_string(number));
    for (int number = 0; number < kMany; ++number) {
        std::string said = scene.next();
        for (int round = 0; said.empty() && round < 100; ++round) {
            scene.loop.restart();
            scene.loop.poll();
            said = scene.next();
        }
        REQUIRE(said == "X=" + std::to_string(number));
    }
    CHECK(scene.log.warnings == 0);
}

TEST_CASE("service manager: nobody there is told of once")
{
    boost::asio::io_context loop;
    Silence log;
    ServiceManager service{loop, log, {.notify_socket = "/nowhere/notify"}};
    service.tell("READY=1");
    service.finish();
    CHECK(log.warnings == 1);
}

TEST_CASE("service manager: passed descriptors are closed at exec and told to nobody")
{
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_PID", "1", 1);
    CHECK(take_passed_fds(0).empty());
    CHECK(std::getenv("LISTEN_FDS") == nullptr);
    CHECK(std::getenv("LISTEN_PID") == nullptr);
}
