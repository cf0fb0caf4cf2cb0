// The sockets of an app, real ones on ports that the kernel chooses, through the death of the
// manager that opened them.
#include "supervisor/engine/node_handles.hpp"

#include "supervisor/engine/node_saved.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/listeners.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using nlohmann::json;

namespace {

struct Fixture {
    boost::asio::io_context loop;
    ipc::LinuxSystem system;
    tests::FakeKeeper keeper;
    std::function<void()> look;
    std::vector<json> written;
    std::shared_ptr<NodeHandles> handles =
        std::make_shared<NodeHandles>(loop, system, keeper, [this] {
            written.push_back(handles->saved());
            if (look) look();
        });
    std::shared_ptr<App> app = std::make_shared<App>();
    int port = 0; ///< of the first socket: the others are asked for by it

    std::shared_ptr<NodeHandle> get(unsigned generation, NodeHandles* from = nullptr)
    {
        const NodeQuery query{
            .address = {.text = "127.0.0.1", .port = port, .type = NodeAddressType::tcp4},
            .data = R"({"of":)" + std::to_string(generation) + "}"};
        const auto handle =
            (from ? from : handles.get())->get(query, {.app = app, .generation = generation}, {});
        REQUIRE(handle);
        REQUIRE(::listen((*handle)->socket.get(), 16) == 0); // as the worker does
        return *handle;
    }
    /// One with a port of its own, which all that follow are asked for by.
    std::shared_ptr<NodeHandle> first()
    {
        const ipc::ListenAddress any{.text = "127.0.0.1:0", .name = "x"};
        auto free = open_listener(system, any);
        REQUIRE(free);
        port = port_of(free->get());
        free->reset();
        return get(0);
    }
    json last() const { return written.back(); }
};

bool gets_connections(const NodeHandle& handle)
{
    const auto client = dial_tcp("127.0.0.1", port_of(handle.socket.get()));
    REQUIRE(client);
    pollfd waiting{.fd = handle.socket.get(), .events = POLLIN, .revents = 0};
    const bool here = ::poll(&waiting, 1, 50) == 1;
    if (here) const ipc::UniqueFd taken{::accept(handle.socket.get(), nullptr, nullptr)};
    return here;
}

bool accepts(int socket)
{
    int on = 0;
    socklen_t size = sizeof on;
    ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &on, &size);
    return on != 0;
}

std::shared_ptr<NodeHandles> restored(Fixture& f, const json& saved, KeptFds& kept,
                                      tests::FakeKeeper& keeper)
{
    auto table = NodeHandles::restore(f.loop, f.system, keeper, saved, kept);
    if (!table) FAIL(table.error().text());
    return *table;
}

} // namespace

TEST_CASE_FIXTURE(Fixture, "node handles: a new socket is kept and written down when it is given")
{
    const auto handle = first();
    CHECK(keeper.fds.contains(inode_of(handle->socket.get())));
    CHECK(keeper.flushes == 1);
    REQUIRE(written.size() == 1);
    CHECK(kept_inodes(last()) == std::vector{inode_of(handle->socket.get())});
    CHECK(get(0) == handle);
    CHECK(written.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "node handles: the next manager gives the same sockets")
{
    const auto handle = first();
    KeptFds kept = keeper.hand_over();
    tests::FakeKeeper next_keeper;
    const auto next = restored(*this, last(), kept, next_keeper);
    CHECK(kept.rest().empty());
    CHECK(next->saved() == last());
    CHECK(next_keeper.fds.size() == 1);
    const auto same = get(0, next.get());
    CHECK(inode_of(same->socket.get()) == inode_of(handle->socket.get()));
    CHECK(same->data == R"({"of":0})");
    CHECK(next->find(inode_of(handle->socket.get())) == same);
    CHECK(next->find(0) == nullptr);
    CHECK(gets_connections(*same));
}

TEST_CASE_FIXTURE(Fixture, "node handles: a reload is gone on with by the next manager")
{
    const auto old_one = first();
    const auto new_one = get(1);
    tests::FakeKeeper next_keeper;
    KeptFds kept = keeper.hand_over();
    SUBCASE("before the new generation is live")
    {
        const auto next = restored(*this, last(), kept, next_keeper);
        CHECK(next->live_generation() == 0);
        CHECK(gets_connections(*old_one));
        next->go_live();
        CHECK(gets_connections(*new_one));
    }
    SUBCASE("when it was written down and the kernel was not told")
    {
        bool looked = false;
        look = [&] { // go_live is cut short here
            looked = true;
            const auto next = restored(*this, last(), kept, next_keeper);
            CHECK(next->live_generation() == 1);
            CHECK(gets_connections(*new_one));
        };
        handles->go_live();
        CHECK(looked);
        look = {};
    }
    SUBCASE("when it is over")
    {
        handles->go_live();
        const auto next = restored(*this, last(), kept, next_keeper);
        CHECK(next->live_generation() == 1);
        CHECK(gets_connections(*new_one));
        CHECK(inode_of(get(1, next.get())->socket.get()) == inode_of(new_one->socket.get()));
    }
}

TEST_CASE_FIXTURE(Fixture, "node handles: a socket that is shut is gone for the next manager")
{
    auto old_one = first();
    const auto new_one = get(1);
    const ipc::UniqueFd child{::dup(old_one->socket.get())}; // of a worker, which outlives it
    handles->go_live();
    old_one.reset();
    const json before = last();
    bool looked = false;
    look = [&] {
        if (kept_inodes(last()).size() == 2) return; // it is about who is live
        looked = true;
        CHECK(kept_inodes(last()) == std::vector{inode_of(new_one->socket.get())});
        CHECK(keeper.fds.size() == 2);
        // Nothing of that was written down: the manager was killed just before.
        KeptFds kept = keeper.hand_over();
        tests::FakeKeeper next_keeper;
        const auto next = restored(*this, before, kept, next_keeper);
        CHECK(kept_inodes(next->saved()) == std::vector{inode_of(new_one->socket.get())});
        CHECK(gets_connections(*new_one));
    };
    handles->go_live(); // nobody has a socket of an older one any more
    CHECK(looked);
    CHECK_FALSE(accepts(child.get()));
    CHECK(keeper.fds.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "node handles: the next manager knows the kernel's order")
{
    auto one = first();
    const auto two = get(1);
    const auto three = get(2);
    handles->go_live();
    one.reset();
    handles->go_live(); // generation 2: the first socket could go, but would move the live one
    CHECK(kept_inodes(last()).size() == 3);
    CHECK(gets_connections(*three));
    const auto four = get(3); // takes the place of the first one
    CHECK(last()["groups"][0]["handles"][0]["inode"] == inode_of(four->socket.get()));
    CHECK(kept_inodes(last()).size() == 3);
    KeptFds kept = keeper.hand_over();
    tests::FakeKeeper next_keeper;
    const auto next = restored(*this, last(), kept, next_keeper);
    for (int time = 0; time < 8; ++time)
        CHECK(gets_connections(*three));
    CHECK_FALSE(gets_connections(*two));
    CHECK_FALSE(gets_connections(*four));
}

TEST_CASE_FIXTURE(Fixture, "node handles: a socket that nobody has is left out")
{
    const auto handle = first();
    KeptFds none;
    tests::FakeKeeper next_keeper;
    const auto next = restored(*this, last(), none, next_keeper);
    CHECK(next->saved()["groups"].empty());
    CHECK(next_keeper.fds.empty());
}

TEST_CASE_FIXTURE(Fixture, "node handles: what is nothing that was saved is refused")
{
    const auto handle = first();
    const struct {
        const char* at;
        json value;
    } rows[] = {{"", nullptr},
                {"", json::array()},
                {"/live", -1},
                {"/live", "x"},
                {"/groups", 1},
                {"/groups/0", 1},
                {"/groups/0/shared", 1},
                {"/groups/0/handles", "x"},
                {"/groups/0/handles/0", nullptr},
                {"/groups/0/handles/0/inode", 1.5},
                {"/groups/0/handles/0/address", 1},
                {"/groups/0/handles/0/address/text", 1},
                {"/groups/0/handles/0/owner", 1},
                {"/groups/0/handles/0/live", 1},
                {"/others", json::object()}};
    for (const auto& row : rows) {
        CAPTURE(row.at);
        json bad = last();
        bad[json::json_pointer{row.at}] = row.value;
        KeptFds kept = keeper.hand_over();
        CHECK_FALSE(NodeHandles::restore(loop, system, keeper, bad, kept));
        CHECK(kept.rest().size() == 1);
    }
}

TEST_CASE("saved state: inodes are found at any depth, and only those that are wanted back")
{
    const json saved = json::parse(R"({"inode": 1, "a": [{"inode": 2}, {"b": {"inode": 3}}],
                                       "handle": 4, "inodes": [5], "c": {"inode": 0}})");
    auto inodes = kept_inodes(saved);
    std::ranges::sort(inodes);
    CHECK(inodes == std::vector<std::uint64_t>{1, 2, 3});
    CHECK(kept_inodes(nullptr).empty());
}
