// The pipes and sockets of rows that a Supervisor adopts.
#include "supervisor/engine/supervisor.hpp"

#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/listeners.hpp"
#include "tests/unit/supervisor/engine/heir.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

bool has_connection(int listener, int within_ms)
{
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    return ::poll(&waiting, 1, within_ms) == 1;
}

} // namespace

TEST_CASE("adopting: pipes and sockets are the same as before, and kept on")
{
    tests::FakeKeeper guardian;
    KnownWorker known;
    std::shared_ptr<const App> declared;
    KnownListener listener;
    KeptFds handed_over;
    ipc::UniqueFd worker_out;
    auto spec = app();
    spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
    spec.ready = ipc::ready_defaults();
    std::string bound;
    std::uint64_t stage = 0;
    {
        Machine before;
        Worker& worker = before.add(spec);
        before.supervisor.ask(worker, Event::start_asked, "test");
        REQUIRE(before.until([&] { return worker.alive(); }));
        known.record = worker;
        known.out = worker.out->inode();
        known.err = worker.err->inode();
        known.probe = worker.probe_kept.inode();
        stage = before.supervisor.logs().stage_inode();
        known.sockets = {worker.sockets[0]->kept.inode()};
        listener.address = "127.0.0.1:0";
        listener.sockets = {{.inode = known.sockets[0], .live = true}};
        bound = worker.app->listeners[0]->bound_address();
        auto end = worker.out->open_for_worker();
        REQUIRE(end);
        worker_out = std::move(*end);
        handed_over = before.keeper.hand_over(); // it is killed here
    }
    Heir m;
    m.kept = std::move(handed_over);
    m.has_process(known.record.pid, known.record.start_time);
    const KnownWorker copy = known;
    m.supervisor.adopt_listener(spec.listen[0], listener, m.kept);
    REQUIRE(m.supervisor.logs().adopt_stage(stage, m.kept));
    CHECK(m.supervisor.logs().stage_inode() == stage);
    Worker& worker = m.adopt(std::move(known), spec);
    REQUIRE(worker.out);
    REQUIRE(worker.err);
    CHECK(worker.out->inode() == copy.out);
    CHECK(worker.err->inode() == copy.err);
    CHECK(worker.probe_kept.inode() == copy.probe);
    CHECK(inode_of(worker.probe_socket.get()) == copy.probe);
    REQUIRE(worker.sockets.size() == 1);
    REQUIRE(worker.sockets[0]);
    CHECK(inode_of(worker.sockets[0]->fd.get()) == copy.sockets[0]);
    CHECK(worker.app->listeners[0]->bound_address() == bound);
    CHECK(m.kept.rest().empty());
    for (const std::uint64_t inode : {copy.out, copy.err, copy.probe, copy.sockets[0]})
        CHECK(m.keeper.fds.contains(inode)); // for whoever comes after us
    m.supervisor.resume(0ms);

    REQUIRE(::write(worker_out.get(), "still here\n", 11) == 11);
    CHECK(m.until([&] { return m.system.files[worker.out_path].ends_with("still here\n"); }));
}

TEST_CASE(
    "adopting: the path of a unix socket leads to the live one, also when a reload was cut off")
{
    for (const bool taken_over : {false, true}) {
        CAPTURE(taken_over);
        const tests::Folder folder;
        const std::string path = folder.path + "/api.sock";
        const ipc::ListenAddress address{.text = "unix:" + path, .name = "api"};
        Heir m;
        auto first = open_listener(m.system, address);
        REQUIRE(first);
        auto second = join_listener(address, first->get());
        REQUIRE(second);
        const int old_one = first->get();
        const int new_one = second->get();
        const KnownListener known{.address = address.text,
                                  .sockets = {{.inode = inode_of(old_one), .live = !taken_over},
                                              {.inode = inode_of(new_one), .live = taken_over}}};
        m.kept.add(std::move(*first));
        m.kept.add(std::move(*second));
        m.supervisor.adopt_listener(address, known, m.kept);

        const auto client = dial_unix(path);
        REQUIRE(client);
        CHECK(has_connection(taken_over ? new_one : old_one, 1000));
        CHECK_FALSE(has_connection(taken_over ? old_one : new_one, 0));
    }
}

TEST_CASE("adopting: of a group that has lost a socket, one that is leaving gets no connection")
{
    ipc::ListenAddress address{.text = "127.0.0.1:0", .name = "api"};
    Heir m;
    std::vector<ipc::UniqueFd> sockets;
    sockets.push_back(open_listener(m.system, address).value());
    for (int count = 0; count < 3; ++count)
        sockets.push_back(join_listener(address, sockets.front().get()).value());
    const std::uint16_t port = port_of(sockets.front().get());
    KnownListener known{.address = address.text, .sockets = {}};
    for (const ipc::UniqueFd& socket : sockets)
        known.sockets.push_back({.inode = inode_of(socket.get()), .live = true});
    known.sockets[2].live = false;
    const int leaving = sockets[2].get();
    for (auto& socket : sockets)
        if (&socket != &sockets.front()) m.kept.add(std::move(socket));
    sockets.front().reset(); // nobody else had it

    m.supervisor.adopt_listener(address, known, m.kept);
    std::vector<ipc::UniqueFd> clients;
    for (int count = 0; count < 60; ++count)
        clients.push_back(dial_tcp("127.0.0.1", port).value());
    CHECK_FALSE(has_connection(leaving, 0));
}

TEST_CASE(
    "adopting: descriptors that nobody kept are made anew, at the latest for its next process")
{
    Heir m;
    m.has_process();
    auto spec = app();
    spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
    KnownWorker known = m.known(State::online);
    known.out = 111;
    known.err = 112;
    known.sockets = {113};
    m.supervisor.adopt_listener(
        spec.listen[0], {.address = "127.0.0.1:0", .sockets = {{.inode = 113, .live = true}}},
        m.kept);
    Worker& worker = m.adopt(std::move(known), spec);
    m.supervisor.resume(0ms);
    m.turn();
    CHECK(worker.pid == kPid);
    CHECK_FALSE(worker.out);
    m.ends();
    m.supervisor.on_ended(kPid, kStart, {.code = 1, .signal = 0});
    REQUIRE(m.until([&] { return m.launcher.plans.size() == 1 && worker.alive(); }));
    CHECK(worker.out);
    CHECK(worker.err);
    REQUIRE(worker.sockets.size() == 1);
    CHECK(worker.sockets[0]);
}

TEST_CASE("adopting: an app whose sockets cannot be opened now tries again when it is launched")
{
    Heir m;
    auto spec = app();
    spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
    const auto closed = m.supervisor.declare_closed(
        spec, std::make_shared<const ipc::Environment>(ipc::Environment{}));
    CHECK(closed->listeners.empty());
    Worker& worker =
        m.supervisor.adopt(m.known(State::launching, false), closed, m.kept, std::nullopt);
    m.supervisor.resume(0ms);
    REQUIRE(m.until(worker, State::online));
    REQUIRE(worker.app->listeners.size() == 1);
    REQUIRE(worker.sockets.size() == 1);
    CHECK(worker.sockets[0]);
}
