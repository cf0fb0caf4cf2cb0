// Which socket of a declared address gets the connections, by real ones on loopback.
#include "supervisor/engine/listener.hpp"

#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/listeners.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <utility>
#include <vector>

using namespace cluster::supervisor;
using namespace cluster::tests;
using cluster::ipc::LinuxSystem;
using cluster::ipc::ListenAddress;
using cluster::ipc::UniqueFd;

namespace {

using Socket = std::shared_ptr<ListenSocket>;

struct Address {
    LinuxSystem system;
    FakeKeeper keeper;
    ListenAddress where{.text = "127.0.0.1:0", .name = "api"};
    Listener listener{where, keeper, open_listener(system, where).value()};
    std::uint16_t port = port_of(listener.current()->fd.get());
    std::vector<UniqueFd> clients;

    /// What next_generation and go_live of the supervisor come to.
    Socket reload()
    {
        Socket next = listener.add().value();
        live(*next);
        return next;
    }
    void live(ListenSocket& socket)
    {
        CHECK(listener.choose_only(socket));
        REQUIRE(listener.steer());
    }
    void connect_ten()
    {
        for (int i = 0; i < 10; ++i)
            clients.push_back(dial_tcp("127.0.0.1", port).value());
    }
};

int waiting(const Socket& socket)
{
    pollfd about{.fd = socket->fd.get(), .events = POLLIN, .revents = 0};
    int count = 0;
    while (::poll(&about, 1, 0) == 1) {
        const UniqueFd connection{::accept(socket->fd.get(), nullptr, nullptr)};
        ++count;
    }
    return count;
}

} // namespace

TEST_CASE_FIXTURE(Address, "listener: each generation that joins waits until it is chosen")
{
    Socket current = listener.current();
    for (int reloads = 0; reloads < 4; ++reloads) {
        CAPTURE(reloads);
        const Socket next = listener.add().value();
        connect_ten();
        CHECK(waiting(current) == 10);
        CHECK(waiting(next) == 0);
        live(*next);
        connect_ten();
        CHECK(waiting(current) == 0);
        CHECK(waiting(next) == 10);
        current = next;
        CHECK(listener.tidy());
        CHECK(listener.sockets().size() == 1);
        connect_ten();
        CHECK(waiting(current) == 10);
    }
}

TEST_CASE_FIXTURE(Address, "listener: one that was cut off leaves, and the live one stays chosen")
{
    const Socket current = reload();
    listener.tidy();
    for (int count = 0; count < 2; ++count) {
        Socket half = listener.add().value();
        Socket other = listener.add().value();
        half.reset();
        CHECK(listener.tidy());
        connect_ten();
        CHECK(waiting(current) == 10);
        CHECK(waiting(other) == 0);
        other.reset();
        CHECK(listener.tidy());
        connect_ten();
        CHECK(waiting(current) == 10);
    }
    CHECK(listener.sockets().size() == 1);
}

TEST_CASE_FIXTURE(Address, "listener: two before the only live one leave when another has joined")
{
    const Socket first = listener.current();
    const auto second = listener.add().value();
    const int first_fd = first->fd.get();
    Socket live_one;
    {
        const Socket held_first = first, held_second = second;
        live_one = reload();
    }
    // The gap would be filled by the live one, and its number would then mean any of those left.
    std::vector<GroupMember> members{
        {.socket = first_fd, .live = false, .leaving = true},
        {.socket = second->fd.get(), .live = false, .leaving = true},
        {.socket = live_one->fd.get(), .live = true, .leaving = false}};
    CHECK(leave_group(members) == std::vector<std::size_t>{0, 1, 2});
    CHECK(accepts(first_fd));
    connect_ten();
    CHECK(waiting(live_one) == 10);

    const Socket next = listener.add().value();
    members.push_back({.socket = next->fd.get(), .live = false, .leaving = false});
    CHECK(leave_group(members) == std::vector<std::size_t>{3, 1, 2});
    CHECK_FALSE(accepts(first_fd));
    connect_ten();
    CHECK(waiting(live_one) == 10);
    CHECK(waiting(second) == 0);
    CHECK(waiting(next) == 0);
}

TEST_CASE_FIXTURE(Address, "listener: what could not leave at once is gone after the next reload")
{
    Socket first = listener.current();
    Socket second = listener.add().value();
    Socket live_one = reload();
    first.reset();
    second.reset();
    CHECK_FALSE(listener.tidy());
    CHECK(listener.sockets().size() == 3);
    const Socket next = listener.add().value();
    CHECK(listener.tidy());
    connect_ten();
    CHECK(waiting(live_one) == 10);
    CHECK(waiting(next) == 0);
    live(*next);
    live_one.reset();
    CHECK(listener.tidy());
    CHECK(listener.sockets().size() == 1);
    connect_ten();
    CHECK(waiting(next) == 10);
}

TEST_CASE_FIXTURE(Address, "listener: one of several live ones leaves and the others share")
{
    const Socket first = listener.current();
    Socket second = listener.add().value();
    const Socket third = listener.add().value();
    REQUIRE(listener.set_live(*second, true));
    REQUIRE(listener.set_live(*third, true));
    second.reset(); // its worker was scaled away
    CHECK(listener.tidy());
    CHECK(listener.sockets().size() == 2);
    for (int i = 0; i < 10; ++i) // 100 connections and none for one of them: once in 10^29
        connect_ten();
    const int for_first = waiting(first);
    CHECK(for_first > 0);
    CHECK(for_first < 100);
    CHECK(waiting(third) == 100 - for_first);
}

TEST_CASE_FIXTURE(Address, "listener: who stays for now, and had connections, is told to have none")
{
    const Socket held = listener.add().value();
    const Socket last = listener.add().value();
    REQUIRE(listener.set_live(*last, true));
    CHECK(listener.tidy()); // nobody has the first one any more: to be written down
    CHECK(listener.sockets().size() == 3);
    CHECK_FALSE(listener.sockets().front()->live);
    connect_ten();
    CHECK(waiting(last) == 10);
    CHECK_FALSE(listener.tidy());
}
