// What is known of a Node worker when its manager is killed, and how the next one goes on with it.
#include "tests/unit/supervisor/engine/node_member.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <string>
#include <utility>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

/// A manager that is killed at any time: it is never run again, and the next one goes on from what
/// was written down.
struct Killed : MemberFixture {
    boost::asio::io_context first_loop;
    nlohmann::json last_handles;
    std::shared_ptr<NodeHandles> handles = std::make_shared<NodeHandles>(
        first_loop, system, keeper, [this] { last_handles = handles->saved(); });
    Killed()
    {
        member = std::make_unique<NodeMember>(first_loop, keeper, std::move(daemons_end), handles,
                                              NodeOpener{.app = app, .sockets = sockets}, events());
    }
    ~Killed() { member.reset(); } // it is the next manager's by then

    /// The first manager gets all that has been said.
    void first()
    {
        first_loop.restart();
        while (first_loop.poll() > 0)
            first_loop.restart();
    }
    void first_hears(const std::string& text)
    {
        REQUIRE(send_with_handle(worker.get(), text));
        first();
    }
    void open_first(const Server& server = {})
    {
        first_hears(query(server));
        CHECK(hear().handles == 1);
        first_hears(kTaken + listening(server));
    }
    void kill()
    {
        KeptFds kept = keeper.hand_over();
        auto table = NodeHandles::restore(loop, system, next_keeper, last_handles, kept);
        REQUIRE(table);
        next_handles = *table;
        dead = std::move(member);
        auto next = NodeMember::restore(loop, next_keeper, last, kept, next_handles,
                                        {.app = app, .sockets = sockets}, events());
        if (!next) FAIL(next.error().text());
        member = std::move(*next);
        CHECK(kept.rest().empty());
    }

    tests::FakeKeeper next_keeper;
    std::shared_ptr<NodeHandles> next_handles;
    std::unique_ptr<NodeMember> dead;
};

} // namespace

TEST_CASE_FIXTURE(InCluster, "node member: its channel is kept until it is closed")
{
    CHECK(keeper.fds.size() == 1);
    CHECK(member->saved()["channel"]["inode"] == keeper.fds.begin()->first);
    worker.reset();
    settle();
    CHECK(keeper.fds.empty());
    CHECK(last["channel"]["inode"] == 0);
}

TEST_CASE_FIXTURE(InCluster, "node member: what follows is written down before it is said")
{
    say(query({}));
    CHECK(last["open"].size() == 1);
    CHECK(keeper.fds.size() == 2); // the socket too
    CHECK(keeper.flushes == 1);
    hear();
    say(kTaken + listening({}));
    CHECK(last["listened"] == true);
    REQUIRE(member->drain(kLong, [] {}));
    CHECK(last["draining"] == true);
    CHECK(last["said"] == true);
    say(closed({}));
    CHECK(last["open"].empty());
}

TEST_CASE_FIXTURE(Killed, "node member: the next manager knows what it serves, and is a full one")
{
    open_first();
    open_first(kUdp);
    kill();
    settle();
    CHECK(member->listens());
    CHECK(member->addresses() == Texts{"127.0.0.1:4001", "udp:127.0.0.1:4001"});
    CHECK(member->tcp_ports() == Ports{4001});
    CHECK(member->retired_sockets().empty());
    CHECK(next_keeper.fds.size() == keeper.fds.size());
    CHECK(member->saved() == last);
    CHECK(hear().text == ""); // nothing is said again
    REQUIRE(member->offer_connection(connection()));
    CHECK(hear().text == node_new_connection(Server{}.key));
    say(kTaken + closed({}));
    CHECK(member->addresses() == Texts{"udp:127.0.0.1:4001"});
    open(kOther);
    CHECK(member->addresses() == Texts{"udp:127.0.0.1:4001", "127.0.0.1:4002"});
}

TEST_CASE_FIXTURE(Killed, "node member: an answer that was not given is given by the next manager")
{
    REQUIRE(send_with_handle(worker.get(), query({})));
    SUBCASE("nobody had read the question")
    {
        last = member->saved();
    }
    SUBCASE("it was written down, and said or not")
    {
        while (last.is_null())
            first_loop.run_one();
    }
    if (last_handles.is_null()) last_handles = handles->saved();
    kill();
    CHECK(hear().handles >= 1); // perhaps the first one's too
    settle();
    CHECK(next_handles->saved()["groups"].size() == 1);
    say(kTaken + kTaken + listening({}));
    CHECK(member->listens());
    CHECK(member->drain(kLong, [] {}));
}

TEST_CASE_FIXTURE(Killed, "node member: an answer that was held back is given by the next manager")
{
    first_hears(query({}) + query(kOther));
    CHECK(hear().handles == 1); // the second waits until the first is acknowledged
    kill();
    CHECK(hear().handles == 1);
    say(kTaken + kTaken + listening({}) + listening(kOther));
    CHECK(listens == 1);
}

TEST_CASE_FIXTURE(Killed, "node member: a drain goes on, and is not said twice")
{
    open_first();
    open_first(kOther);
    Drain first_drain, drain;
    REQUIRE(member->drain(kLong, first_drain.on_done));
    CHECK(hear().text == kDisconnect);
    first_hears(closed({}));
    kill();
    REQUIRE(member->drain(kLong, drain.on_done));
    run_until(loop, [] { return false; }, 1s); // longer than anything that is waited for
    CHECK(hear().text == "");
    CHECK(drain.done == 0);
    say(closed(kOther));
    worker.reset();
    settle();
    CHECK(drain.done == 1);
    CHECK(first_drain.done == 0);
    CHECK_FALSE(member->drain(kLong, drain.on_done)); // it is closed
}

TEST_CASE_FIXTURE(Killed, "node member: a drain that nobody knows to have been said")
{
    open_first();
    open_first(kOther);
    REQUIRE(member->drain(kLong, [] {}));
    last["said"] = false; // killed before it wrote that down, and after
    Drain drain;
    SUBCASE("the worker has not heard of it")
    {
        kill();
        hear();
        REQUIRE(member->drain(kLong, drain.on_done));
        CHECK(run_until(loop, [&] { return hear().text == kDisconnect; }));
        CHECK(last["said"] == true);
    }
    SUBCASE("the worker has")
    {
        CHECK(hear().text == kDisconnect);
        REQUIRE(send_with_handle(worker.get(), closed({})));
        kill();
        REQUIRE(member->drain(kLong, drain.on_done));
        run_until(loop, [] { return false; }, 1s);
        CHECK(hear().text == "");
    }
}

TEST_CASE_FIXTURE(Killed, "node member: without its channel it has ended, and is known as it was")
{
    open_first();
    last["channel"]["inode"] = 1;
    KeptFds kept = keeper.hand_over();
    auto next = NodeMember::restore(loop, next_keeper, last, kept, nullptr, {.app = app}, {});
    REQUIRE(next);
    CHECK((*next)->addresses() == Texts{"127.0.0.1:4001"});
    CHECK_FALSE((*next)->drain(kLong, [] {}));
    CHECK_FALSE((*next)->send_message("1"));
    CHECK(next_keeper.fds.empty());
}

TEST_CASE_FIXTURE(Killed, "node member: it is drained though its socket was not given back")
{
    open_first();
    last_handles["groups"] = nlohmann::json::array();
    keeper.fds.erase(handles->saved()["groups"][0]["handles"][0]["inode"].get<std::uint64_t>());
    kill();
    CHECK(member->retired_sockets().empty());
    CHECK(member->drain(kLong, [] {}));
    CHECK(hear().text == kDisconnect);
}

TEST_CASE_FIXTURE(MemberFixture, "node member: a declared socket is known to the next manager too")
{
    declare();
    start_in_cluster();
    open(kDescriptor);
    const auto kept_before = keeper.fds.size(); // the channel, and the listener's
    CHECK(kept_before == 2);
    KeptFds kept = keeper.hand_over();
    boost::asio::io_context next_loop;
    tests::FakeKeeper next_keeper;
    const auto handles = std::make_shared<NodeHandles>(next_loop, system, next_keeper);
    auto next = NodeMember::restore(next_loop, next_keeper, last, kept, handles,
                                    {.app = app, .sockets = sockets}, {});
    REQUIRE(next);
    CHECK((*next)->saved() == last);
    CHECK(last["open"][0]["handle"] == inode_of(sockets[0]->fd.get()));
    CHECK((*next)->drain(kLong, [] {}));
}

TEST_CASE_FIXTURE(InCluster, "node member: what is no saved member is refused, and takes nothing")
{
    open();
    const nlohmann::json good = member->saved();
    const struct {
        const char* at;
        nlohmann::json value;
    } rows[] = {{"", nullptr},
                {"", 1},
                {"", nlohmann::json::object()},
                {"/channel", nullptr},
                {"/channel", 3},
                {"/channel/inode", "x"},
                {"/channel/inode", -1},
                {"/line", nullptr},
                {"/line/unsent", 1},
                {"/generation", -1},
                {"/owner", "root"},
                {"/owner", {{"uid", "root"}}},
                {"/open", 1},
                {"/open/0", 1},
                {"/open/0/address", nullptr},
                {"/open/0/address/type", "carrier pigeon"},
                {"/open/0/address/port", "x"},
                {"/open/0/address/port", 1e300},
                {"/open/0/data", 1},
                {"/open/0/listening", 1},
                {"/served/0", 1},
                {"/served/0/port", 70'000},
                {"/ports/0", "x"},
                {"/ports/0", 70'000},
                {"/listened", "yes"}};
    for (const auto& row : rows) {
        CAPTURE(row.at);
        CAPTURE(row.value.dump());
        nlohmann::json bad = good;
        bad[nlohmann::json::json_pointer{row.at}] = row.value;
        KeptFds kept = keeper.hand_over();
        CHECK_FALSE(NodeMember::restore(loop, keeper, bad, kept, nullptr, {.app = app}, {}));
        CHECK(kept.rest().size() == keeper.fds.size());
    }
}
