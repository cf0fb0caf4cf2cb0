// What one worker's member does while its manager lives; what comes after is in
// test_node_succession.cpp.
#include "tests/unit/supervisor/engine/node_member.hpp"

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

struct Alone : MemberFixture {
    Alone() { start(nullptr); }
};

} // namespace

TEST_CASE_FIXTURE(InCluster, "node member: ready is told once, and may come before it listens")
{
    say("\"ready\"\n\"ready\"\n");
    CHECK(readies == 1);
    CHECK(listens == 0);
    open();
    say("\"ready\"\n");
    CHECK(readies == 1);
}

TEST_CASE_FIXTURE(InCluster, "node member: it listens when each server it has asked for does, once")
{
    say(query({}) + query(kOther));
    CHECK(hear().handles == 1);
    say(kTaken + listening({}));
    CHECK(listens == 0);
    hear();
    say(kTaken + listening(kOther));
    CHECK(listens == 1);
    say(closed({}));
    open();
    CHECK(listens == 1);
}

TEST_CASE_FIXTURE(InCluster,
                  "node member: a server that is closed unopened is waited for no longer")
{
    say(query({}) + query(kOther));
    hear();
    say(kTaken);
    hear();
    say(kTaken + listening({}));
    CHECK(listens == 0);
    say(closed(kOther));
    CHECK(listens == 1);
}

TEST_CASE_FIXTURE(InCluster, "node member: what it calls may destroy it")
{
    const struct {
        const char* name;
        std::string said;
    } rows[] = {{"ready", "\"ready\"\n"},
                {"listening", "\x02{\"act\":\"listening\",\"address\":null,\"port\":1,"
                              "\"addressType\":4}\n"}};
    for (const auto& row : rows) {
        CAPTURE(row.name);
        MemberFixture one;
        const auto destroy = [&one, count = std::make_shared<int>()] {
            one.member.reset();
            ++*count; // of what it holds itself nothing may be gone
        };
        one.member = std::make_unique<NodeMember>(
            one.loop, keeper, std::move(one.daemons_end),
            std::make_shared<NodeHandles>(one.loop, system, keeper), NodeOpener{.app = app},
            NodeEvents{.on_ready = destroy, .on_listening = destroy});
        one.say(row.said + row.said);
        CHECK_FALSE(one.member);
    }
}

TEST_CASE_FIXTURE(InCluster, "node member: messages for the app, until nobody reads them")
{
    CHECK(member->send_message(R"("shutdown")"));
    CHECK(hear().text == "\"shutdown\"\n");
    const std::string much = '"' + std::string(100'000, 'a') + '"';
    int taken = 0;
    while (taken < 1'000 && member->send_message(much))
        ++taken;
    CHECK(taken < 1'000);
    CHECK(run_until(loop, [&] { return hear().text.empty(); }));
    CHECK(member->send_message("1"));
    worker.reset();
    settle();
    CHECK_FALSE(member->send_message("2"));
}

TEST_CASE_FIXTURE(Alone, "node member: a program that runs alone has messages, but no sockets")
{
    say("\"ready\"\n" + query({}) + listening({}));
    CHECK(readies == 1);
    const Heard heard = hear();
    CHECK(heard.handles == 0);
    CHECK(heard.text.contains("\"errno\":-" + std::to_string(ENOTSUP)));
    CHECK_FALSE(member->listens());
    CHECK(listens == 0);
    CHECK(member->addresses().empty());
    CHECK_FALSE(member->drain(kLong, [] {}));
    CHECK_FALSE(member->offer_connection(connection()));
    CHECK(member->send_message("1"));
    CHECK(hear().text == "1\n");
}

TEST_CASE_FIXTURE(InCluster, "node member: bun binds by itself, and is only listened to")
{
    const std::string told = "\x02{\"cmd\":\"NODE_CLUSTER\",\"act\":\"listening\",\"port\":4003,"
                             "\"data\":null,\"address\":null,\"addressType\":4}\n";
    say(told + told);
    CHECK(member->listens());
    CHECK(listens == 1);
    CHECK(member->addresses() == Texts{"[::]:4003"});
    CHECK(member->tcp_ports() == Ports{4003});
    CHECK_FALSE(member->offer_connection(connection()));
    CHECK_FALSE(member->drain(kLong, [] {}));
    CHECK(member->send_message(R"("shutdown")"));
    CHECK(hear().text == "\"shutdown\"\n");
}

TEST_CASE_FIXTURE(InCluster, "node member: a connection is handed over, and held until it is taken")
{
    open();
    REQUIRE(member->offer_connection(connection()));
    const Heard heard = hear();
    CHECK(heard.handles == 1);
    CHECK(heard.text == node_new_connection("127.0.0.1:0:4:-1:0"));
    CHECK_FALSE(probe_is_hung_up()); // Node may have lost it, and want it again
    say(kTaken + R"({"cmd":"NODE_CLUSTER","accepted":true,"seq":3})" + "\n");
    CHECK(probe_is_hung_up());
}

TEST_CASE_FIXTURE(InCluster, "node member: a connection waits its turn behind a socket")
{
    open();
    say(query(kOther));
    REQUIRE(member->offer_connection(connection()));
    CHECK_FALSE(hear().text.contains("newconn"));
    say(kTaken);
    CHECK(hear().text.contains("newconn"));
}

TEST_CASE_FIXTURE(InCluster,
                  "node member: the server for a connection is the first, or has the port")
{
    open(kUdp);
    open(kOther);
    open();
    const struct {
        std::uint16_t port;
        std::string key; ///< "" none
    } rows[] = {{0, kOther.key}, {4001, Server{}.key}, {4002, kOther.key}, {4003, ""}};
    for (const auto& row : rows) {
        CAPTURE(row.port);
        CHECK(member->offer_connection(connection(), row.port) == !row.key.empty());
        const Heard heard = hear();
        CHECK(heard.text == (row.key.empty() ? "" : node_new_connection(row.key)));
        say(kTaken);
    }
}

TEST_CASE_FIXTURE(InCluster, "node member: no connection for a worker that cannot take one")
{
    CHECK_FALSE(member->offer_connection(connection()));
    open(kUdp);
    CHECK_FALSE(member->offer_connection(connection()));
    say(query({}));
    hear();
    CHECK_FALSE(member->offer_connection(connection())); // has the socket, does not listen
    say(kTaken + listening({}));
    CHECK(member->offer_connection(connection()));
    CHECK(hear().handles == 1);
    say(kTaken);
    REQUIRE(member->drain(kLong, [] {}));
    CHECK_FALSE(member->offer_connection(connection()));
    CHECK(hear().text == kDisconnect);
    worker.reset();
    settle();
    CHECK_FALSE(member->offer_connection(connection()));
}

TEST_CASE_FIXTURE(InCluster, "node member: a worker that hangs is not buried in connections")
{
    open();
    for (std::size_t i = 0; i < NodeMember::kMaxOffers; ++i) {
        CHECK(member->offer_connection(connection()));
        CHECK_FALSE(probe_is_hung_up());
    }
    CHECK(member->offer_connection(connection()));
    CHECK(probe_is_hung_up());
    hear();
    say(kTaken);
    CHECK(member->offer_connection(connection()));
    CHECK_FALSE(probe_is_hung_up());
}

TEST_CASE_FIXTURE(InCluster, "node member: addresses are those that serve, with their real ports")
{
    open();
    open(kUdp);
    CHECK(member->addresses() == Texts{"127.0.0.1:4001", "udp:127.0.0.1:4001"});
    CHECK(member->tcp_ports() == Ports{4001});
    say(closed({}));
    CHECK(member->addresses() == Texts{"udp:127.0.0.1:4001"});
    CHECK(member->tcp_ports() == Ports{4001}); // connections may be left
}

TEST_CASE_FIXTURE(InCluster, "node member: in a drain it is still known what it served")
{
    open();
    REQUIRE(member->drain(kLong, [] {}));
    say(closed({}));
    worker.reset();
    settle();
    CHECK(member->addresses() == Texts{"127.0.0.1:4001"});
    CHECK(member->tcp_ports() == Ports{4001});
}

TEST_CASE_FIXTURE(MemberFixture,
                  "node member: a declared socket listens, is known and is drained too")
{
    declare();
    start_in_cluster();
    open(kDescriptor);
    CHECK(member->addresses() == Texts{app->listeners[0]->bound_address()});
    CHECK(member->tcp_ports() == Ports{4001});
    CHECK(member->offer_connection(connection()));
    CHECK(hear().text == node_new_connection(kDescriptor.key));
    CHECK(member->drain(kLong, [] {}));
}

TEST_CASE_FIXTURE(MemberFixture,
                  "node member: a declared socket is the worker's own and goes with it")
{
    declare();
    const auto handles = std::make_shared<NodeHandles>(loop, system, keeper);
    const auto get = [&](const ListenSockets& own, const std::string& data) {
        const NodeQuery query{
            .address = {.text = "null", .type = NodeAddressType::descriptor, .fd = 3},
            .data = data};
        return handles->get(query, {.app = app, .sockets = own}, {});
    };
    const auto first = get(sockets, "1");
    REQUIRE(first);
    const auto next = app->listeners[0]->add(); // a reload
    REQUIRE(next);
    const auto second = get({*next}, "2");
    REQUIRE(second);
    CHECK(inode_of((*first)->socket.get()) == inode_of(sockets[0]->fd.get()));
    CHECK(inode_of((*second)->socket.get()) == inode_of((*next)->fd.get()));
    CHECK((*second)->data == "1"); // TLS tickets of one are good for the other
    CHECK(first->use_count() == 1);
    CHECK(get({}, "3").error() == EINVAL);
    CHECK(get({nullptr}, "3").error() == EINVAL);
}

TEST_CASE_FIXTURE(InCluster, "node member: a drain is done once, whatever comes first")
{
    open();
    Drain drain;
    SUBCASE("the worker disconnects, or its process ends")
    {
        REQUIRE(member->drain(kLong, drain.on_done));
        CHECK(hear().text == kDisconnect);
        say(closed({}));
        CHECK(drain.done == 0);
    }
    SUBCASE("the limit is over")
    {
        REQUIRE(member->drain(1ms, drain.on_done));
        CHECK(run_until(loop, [&] { return drain.done > 0; }));
    }
    worker.reset();
    settle();
    CHECK(drain.done == 1);
}

TEST_CASE_FIXTURE(InCluster, "node member: who destroys it hears no more of a drain")
{
    open();
    Drain drain;
    REQUIRE(member->drain(1ms, drain.on_done));
    member.reset();
    worker.reset();
    settle();
    CHECK(drain.done == 0);
}

TEST_CASE_FIXTURE(InCluster, "node member: a second drain joins the first and is not said again")
{
    open();
    Drain first, second;
    REQUIRE(member->drain(kLong, first.on_done));
    say(closed({})); // finishes what is in flight
    REQUIRE(member->drain(kLong, second.on_done));
    CHECK(hear().text == kDisconnect);
    CHECK(first.done + second.done == 0);
    worker.reset();
    settle();
    CHECK(first.done == 1);
    CHECK(second.done == 1);
    CHECK_FALSE(member->drain(kLong, first.on_done));
}

TEST_CASE_FIXTURE(InCluster, "node member: the last limit counts, also after one that is over")
{
    open();
    Drain first, second, third;
    REQUIRE(member->drain(kLong, first.on_done));
    REQUIRE(member->drain(1ms, second.on_done));
    CHECK(run_until(loop, [&] { return second.done == 1; }));
    CHECK(first.done == 1);
    REQUIRE(member->drain(kLong, third.on_done));
    CHECK(hear().text == kDisconnect);
    CHECK(third.done == 0);
    worker.reset();
    CHECK(run_until(loop, [&] { return third.done == 1; }));
}

TEST_CASE_FIXTURE(InCluster, "node member: a worker that cannot be asked is not drained")
{
    CHECK_FALSE(member->drain(kLong, [] {})); // no server
    say(query({}));
    hear();
    CHECK_FALSE(member->drain(kLong, [] {})); // one that is being opened
    say(kTaken + listening({}) + closed({}));
    CHECK_FALSE(member->drain(kLong, [] {})); // none any more
    CHECK(hear().text == "");
}

TEST_CASE_FIXTURE(InCluster, "node member: a drain that is done may destroy the member")
{
    open();
    int done = 0;
    const auto destroy = [&] {
        ++done;
        member.reset();
    };
    REQUIRE(member->drain(kLong, destroy));
    REQUIRE(member->drain(kLong, destroy));
    worker.reset();
    settle();
    CHECK(done == 2);
}

TEST_CASE("node apps: who has a channel, and who is a worker of a cluster")
{
    const struct {
        const char* interpreter;
        ipc::ExecMode mode;
        bool channel;
        bool cluster;
    } rows[] = {
        {"node", ipc::ExecMode::fork, true, false},
        {"/usr/bin/node", ipc::ExecMode::cluster, true, true},
        {"nodejs", ipc::ExecMode::cluster, true, true},
        {"/opt/bun/bin/bun", ipc::ExecMode::fork, true, false},
        {"bun", ipc::ExecMode::cluster, true, true},
        {"python3", ipc::ExecMode::cluster, false, false},
        {"none", ipc::ExecMode::fork, false, false},
        {"", ipc::ExecMode::fork, false, false},
        {"/opt/node/python", ipc::ExecMode::cluster, false, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.interpreter);
        ipc::AppSpec spec;
        spec.interpreter = row.interpreter;
        spec.exec_mode = row.mode;
        CHECK(has_node_channel(spec) == row.channel);
        CHECK(is_node_cluster(spec) == row.cluster);
    }
}
