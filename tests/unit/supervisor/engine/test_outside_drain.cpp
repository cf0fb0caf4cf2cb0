// Workers are children of this process that serve a protocol of one byte; clients are sockets here.
#include "supervisor/engine/outside_drain.hpp"

#include "supervisor/sys/process_table.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/sys/real_connections.hpp"

#include <doctest/doctest.h>

#include <netinet/tcp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

void compute(std::chrono::milliseconds time)
{
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

/// Serves until it is killed. A byte is a request: 'q' is answered with "a" at once, 'w' never, 's'
/// stops the whole worker, 'c' closes the listener before the answer, and 'p' is two requests with
/// a long computation before the second answer. `taking` false: connections stay in the accept
/// queue.
int serve(const ipc::UniqueFd& listener, bool taking)
{
    std::vector<pollfd> fds{{.fd = taking ? listener.get() : -1, .events = POLLIN, .revents = 0}};
    while (::poll(fds.data(), fds.size(), -1) > 0) {
        for (std::size_t i = fds.size(); i-- > 1;) {
            char byte = 0;
            if (fds[i].revents == 0) continue;
            if (::recv(fds[i].fd, &byte, 1, 0) <= 0) {
                ::close(fds[i].fd);
                fds[i].fd = -1;
                continue;
            }
            if (byte == 'c') {
                ::close(std::exchange(fds[0].fd, -1));
                fds[0].revents = 0;
            }
            if (byte == 's') ::pause();
            if (byte == 'p') {
                ::send(fds[i].fd, "a", 1, MSG_NOSIGNAL);
                compute(50ms);
            }
            if (byte != 'w') ::send(fds[i].fd, "a", 1, MSG_NOSIGNAL);
        }
        if (fds[0].revents != 0)
            fds.push_back(
                {.fd = ::accept(fds[0].fd, nullptr, nullptr), .events = POLLIN, .revents = 0});
    }
    return 0;
}

/// A worker with a listener that nobody else holds.
struct Worker {
    explicit Worker(bool taking = true)
        : child{[&] { return serve(listener.fd, taking); }}, inode{inode_of(listener.fd)},
          port{listener.port}
    {
        listener.fd.reset();
        ipc::LinuxSystem system;
        const auto stat = read_stat(system, child.pid());
        REQUIRE(stat);
        start_time = stat->start_time;
    }
    TcpListener listener;
    Child child;
    std::uint64_t inode;
    std::uint16_t port;
    std::uint64_t start_time = 0;

    [[nodiscard]] OutsideDrain::Job job(std::chrono::milliseconds limit = 10s) const
    {
        return {.root = child.pid(),
                .start_time = start_time,
                .listening = {inode},
                .limit = limit,
                .still_accepts = false,
                .ports = {}};
    }
};

/// A request and its answer.
void talk(const ipc::UniqueFd& client)
{
    send_text(client, "q");
    REQUIRE(receive(client) == "a");
}

void close_listener_of(const Worker& worker)
{
    const auto client = connect_to(worker.port);
    send_text(client, "c");
    REQUIRE(receive(client) == "a");
}

struct Drained {
    boost::asio::io_context loop{1};
    ipc::LinuxSystem system;
    ipc::SystemClock clock;
    std::optional<DrainEnd> end;
    DrainFigures figures;
    int calls = 0;
    std::unique_ptr<OutsideDrain> drain;

    explicit Drained(OutsideDrain::Job job)
        : drain{std::make_unique<OutsideDrain>(loop, system, clock, std::move(job),
                                               [this](DrainEnd e, const DrainFigures& f) {
                                                   end = e;
                                                   figures = f;
                                                   ++calls;
                                                   drain.reset(); // it is allowed to
                                               })}
    {
        CHECK(calls == 0);
    }

    bool done()
    {
        return run_until(loop, [this] { return end.has_value(); });
    }
    /// Runs the loop for as long as a client would think or wait.
    void pass(std::chrono::milliseconds time)
    {
        const auto until = std::chrono::steady_clock::now() + time;
        run_until(loop, [&] { return end || std::chrono::steady_clock::now() >= until; });
    }
    /// A busy keep-alive client. No request may go unanswered.
    void talk_until_closed(const ipc::UniqueFd& client)
    {
        for (int turn = 0; is_quiet(client) && turn < 300; ++turn) {
            talk(client);
            pass(15ms);
        }
    }
};

} // namespace

TEST_CASE("outside drain: a busy keep-alive client is never cut in a request, and soon closed")
{
    const Worker worker;
    const auto client = connect_to(worker.port);
    Drained drained{worker.job()};
    drained.talk_until_closed(client);
    CHECK(receive(client) == "end");
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::empty);
    CHECK(drained.figures.closed == 1);
    CHECK(drained.figures.open_left == 0);
    CHECK(drained.figures.waiting_left == 0);
    CHECK(drained.calls == 1);
}

TEST_CASE("outside drain: a worker that computes between two answers is not cut")
{
    const Worker worker;
    for (bool asked = false; !asked;) {
        const auto client = connect_to(worker.port);
        Drained drained{worker.job()};
        // Its turns tell the drain that it makes no pauses. A connection that was found idle
        // meanwhile is no test.
        for (int turn = 0; is_quiet(client) && turn < 10; ++turn) {
            talk(client);
            drained.pass(1ms);
        }
        if (!is_quiet(client)) continue;
        asked = true;
        send_text(client, "p");
        drained.pass(70ms);
        std::string answers = receive(client);
        if (answers == "a") answers += receive(client);
        CHECK(answers == "aa");
        REQUIRE(drained.done());
        CHECK(receive(client) == "end");
        CHECK(*drained.end == DrainEnd::empty);
    }
}

TEST_CASE("outside drain: all of many connections without a request are closed")
{
    const Worker worker;
    std::vector<ipc::UniqueFd> clients;
    clients.reserve(200);
    for (int i = 0; i < 200; ++i)
        clients.push_back(connect_to(worker.port));
    Drained drained{worker.job()};
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::empty);
    CHECK(drained.figures.closed == 200);
    for (const auto& client : clients)
        CHECK(receive(client) == "end");
}

TEST_CASE("outside drain: an answer in flight is not cut before the limit")
{
    const Worker worker;
    const auto waiting = connect_to(worker.port);
    talk(waiting);
    send_text(waiting, "w");
    Drained drained{worker.job(600ms)}; // a connection without requests would have been closed
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::limit);
    CHECK(drained.figures.closed == 0);
    CHECK(drained.figures.open_left == 1);
    CHECK(is_quiet(waiting));
}

TEST_CASE("outside drain: a client that has closed its side may still get its answer")
{
    const Worker worker;
    const auto half_closed = connect_to(worker.port);
    send_text(half_closed, "s");
    ::shutdown(half_closed.get(), SHUT_WR);
    Drained drained{worker.job(600ms)};
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::limit);
    CHECK(drained.figures.open_left == 1);
    CHECK(is_quiet(half_closed));
}

TEST_CASE("outside drain: a connection that nobody has accepted is waited for")
{
    const Worker worker{false};
    const auto client = connect_to(worker.port);
    Drained drained{worker.job(50ms)};
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::limit);
    CHECK(drained.figures.waiting_left == 1);
    CHECK(drained.figures.open_left == 0);
    CHECK(is_quiet(client));
}

TEST_CASE("outside drain: connections that the worker has opened itself are not touched")
{
    const TcpListener database;
    const TcpListener listener;
    Child child{[&] {
        const auto out = connect_to(database.port);
        return serve(listener.fd, true);
    }};
    const auto session = database.accept();
    ipc::LinuxSystem system;
    Drained drained{{.root = child.pid(),
                     .start_time = read_stat(system, child.pid())->start_time,
                     .listening = {},
                     .limit = 10s,
                     .still_accepts = false,
                     .ports = {listener.port}}};
    const auto began = std::chrono::steady_clock::now();
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::empty);
    CHECK(std::chrono::steady_clock::now() - began >= 10ms);
    CHECK(drained.figures.closed == 0);
    CHECK(is_quiet(session));
}

TEST_CASE("outside drain: a worker that has closed its listener is drained by the ports given")
{
    const Worker worker;
    const auto client = connect_to(worker.port);
    close_listener_of(worker);
    SUBCASE("none given: no connection is known to be a client's")
    {
        Drained drained{worker.job()};
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::empty);
        CHECK(drained.figures.closed == 0);
        CHECK(is_quiet(client));
    }
    SUBCASE("given")
    {
        auto job = worker.job();
        job.ports = {worker.port};
        Drained drained{job};
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::empty);
        CHECK(drained.figures.closed == 1);
        CHECK(receive(client) == "end");
    }
}

TEST_CASE("outside drain: a worker that closes its listener during the drain is still known")
{
    const Worker worker;
    const auto client = connect_to(worker.port);
    Drained drained{worker.job()};
    close_listener_of(worker);
    REQUIRE(drained.done());
    CHECK(*drained.end == DrainEnd::empty);
    CHECK(drained.figures.closed == 1);
    CHECK(receive(client) == "end");
}

TEST_CASE("outside drain: a handshake that had begun is waited for, its connection drained")
{
    const Worker worker;
    const int seconds = 5;
    // Through the worker's descriptor: it alone has the listener.
    ipc::LinuxSystem system;
    const auto held = sockets_held(system, {worker.child.pid()});
    REQUIRE(!held.empty());
    const auto pidfd = system.pidfd_open(worker.child.pid());
    const ipc::UniqueFd listener{
        static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd->get(), held.front().fd, 0))};
    REQUIRE(inode_of(listener) == worker.inode);
    ::setsockopt(listener.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    const auto client = connect_to(worker.port); // half open until it says something
    auto job = worker.job();
    SUBCASE("the worker accepts")
    {
        job.still_accepts = true;
        Drained drained{job};
        drained.pass(100ms);
        CHECK(!drained.end);
        drained.talk_until_closed(client);
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::empty);
        CHECK(drained.figures.closed == 1);
    }
    SUBCASE("the worker accepts, but the client does not go on")
    {
        job.still_accepts = true;
        const auto began = std::chrono::steady_clock::now();
        Drained drained{job};
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::empty);
        CHECK(std::chrono::steady_clock::now() - began >= 990ms);
    }
    SUBCASE("somebody else accepts by now")
    {
        Drained drained{job};
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::empty);
        CHECK(drained.figures.closed == 0);
    }
}

TEST_CASE("outside drain: the end of the worker ends it")
{
    Worker worker;
    const auto client = connect_to(worker.port);
    talk(client);
    SUBCASE("during the drain")
    {
        send_text(client, "w");
        Drained drained{worker.job()};
        drained.pass(50ms);
        ::kill(worker.child.pid(), SIGKILL); // a zombie until it is waited for
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::process_gone);
        CHECK(drained.figures.closed == 0);
    }
    SUBCASE("before it, and the pid is another's now")
    {
        ++worker.start_time;
        Drained drained{worker.job()};
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::process_gone);
        CHECK(is_quiet(client));
    }
}

TEST_CASE("outside drain: cancelled it closes nothing more, destroyed it does not even call")
{
    const Worker worker;
    const auto client = connect_to(worker.port);
    talk(client);
    SUBCASE("cancelled")
    {
        Drained drained{worker.job()};
        drained.pass(20ms);
        drained.drain->cancel();
        CHECK(drained.calls == 0);
        REQUIRE(drained.done());
        CHECK(*drained.end == DrainEnd::cancelled);
        CHECK(drained.figures.open_left == 1);
    }
    SUBCASE("destroyed")
    {
        Drained drained{worker.job()};
        drained.pass(20ms);
        drained.drain.reset();
        drained.loop.restart();
        drained.loop.run();
        CHECK(drained.calls == 0);
    }
    CHECK(is_quiet(client));
}

TEST_CASE("outside drain: where the kernel does not let us")
{
    const Worker worker;
    const auto client = connect_to(worker.port);
    const struct {
        const char* name;
        long forbidden;
    } rows[] = {
        {"close connections of others", SYS_pidfd_getfd},
        {"list sockets", SYS_socket},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Child daemon{[&] {
            if (!forbid(row.forbidden)) return 100;
            Drained drained{worker.job(700ms)};
            if (!drained.done()) return 101;
            return static_cast<int>(*drained.end);
        }};
        CHECK(daemon.wait() == static_cast<int>(DrainEnd::not_allowed));
        CHECK(is_quiet(client));
    }
}
