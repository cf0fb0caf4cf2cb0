#include "supervisor/engine/prober.hpp"

#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/process_table.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/engine/tiny_server.hpp"

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::tests::content;
using cluster::tests::run_until;
using ipc::milliseconds;
using std::chrono::steady_clock;
using Kind = ipc::Probe::Kind;

namespace {

constexpr milliseconds kNever{3'600'000}; ///< an interval or a timeout that no test sees the end of

ipc::Probe probe_of(Kind kind, milliseconds interval = kNever, milliseconds timeout = kNever)
{
    ipc::Probe probe;
    probe.kind = kind;
    probe.interval = interval;
    probe.timeout = timeout;
    return probe;
}

struct Told {
    bool good = false;
    std::string why{};
    bool operator==(const Told&) const = default;
};

/// A prober of a TinyServer, whose answers are collected.
struct Probing {
    boost::asio::io_context loop{1};
    tests::Folder folder;
    tests::FaultySystem system;
    tests::ManualClock clock;
    LinuxLauncher launcher;
    tests::TinyServer server{loop};
    int dials = 0;
    Dial dial = [this] {
        ++dials;
        return dial_tcp("127.0.0.1", server.port());
    };
    std::vector<Told> told;
    std::unique_ptr<Prober> prober;

    void start(ipc::Probe probe)
    {
        prober = std::make_unique<Prober>(
            loop, clock, std::move(probe),
            ProbeMeans{.dial = dial,
                       .host_header = "localhost:3000",
                       .plan_command = [this](const auto& argv) { return plan(argv); },
                       .launcher = launcher,
                       .system = system},
            [this](bool good, std::string why) { told.push_back({good, std::move(why)}); });
        CHECK(told.empty()); // never from within a call
    }

    /// The first answer.
    Told ask(ipc::Probe probe)
    {
        start(std::move(probe));
        if (!answers(1)) FAIL("no answer");
        return told[0];
    }

    bool answers(std::size_t count)
    {
        return run_until(loop, [&] { return told.size() >= count; });
    }

    /// All that is due now.
    void turn()
    {
        loop.restart();
        loop.poll();
    }

    LaunchPlan plan(const std::vector<std::string>& argv) const
    {
        LaunchPlan plan;
        plan.program = argv[0];
        plan.argv = argv;
        plan.environment = {"PATH=/usr/bin:/bin"};
        plan.cwd = folder.path;
        return plan;
    }

    static ipc::Probe script(const std::string& text, milliseconds interval = kNever,
                             milliseconds timeout = kNever)
    {
        ipc::Probe probe = probe_of(Kind::exec, interval, timeout);
        probe.command = {"/bin/sh", "-c", text};
        return probe;
    }

    /// Scripts write their pid there.
    [[nodiscard]] std::string file(const std::string& name) const
    {
        return content(folder.path + "/" + name);
    }
    /// The pid in the file, once it is there.
    pid_t pid_in(const std::string& name)
    {
        REQUIRE(run_until(loop, [&] { return file(name).ends_with('\n'); }));
        return static_cast<pid_t>(std::stoi(file(name)));
    }
    /// Runs no more. What the command has left behind is reaped by others, if ever.
    bool dies(pid_t pid)
    {
        ipc::LinuxSystem real;
        return run_until(loop, [&] {
            const auto stat = read_stat(real, pid);
            return !stat || stat->state == 'Z';
        });
    }
    /// As dies, but for our own child, which is ours to reap.
    bool is_reaped(pid_t pid)
    {
        return run_until(loop, [&] { return ::kill(pid, 0) < 0 && errno == ESRCH; });
    }
};

std::string answer_with(const std::string& status, const std::string& headers = "",
                        const std::string& body = "")
{
    return "HTTP/1.1 " + status + "\r\n" + headers + "\r\n" + body;
}

} // namespace

TEST_CASE("http probe: what was asked is what a server expects")
{
    Probing p;
    p.server.behaviour.answer = answer_with("200 OK");
    ipc::Probe probe = probe_of(Kind::http);
    probe.path = "/health?deep=1";
    CHECK(p.ask(probe) == Told{true, ""});
    REQUIRE(p.server.requests.size() == 1);
    const std::string request = p.server.requests[0];
    CHECK(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"));
    for (const char* header :
         {"Host: localhost:3000", "Connection: close", "User-Agent: clusterctl-probe"}) {
        CAPTURE(header);
        CHECK(request.find(std::string{"\r\n"} + header + "\r\n") != std::string::npos);
    }
}

TEST_CASE("http probe: each row is one server")
{
    const std::string length = "Content-Length: 5\r\n";
    const std::string chunked = "Transfer-Encoding: chunked\r\n";
    const std::string huge = "Content-Length: 1000000000\r\n";
    const struct {
        const char* name;
        tests::Behaviour server;
        std::vector<int> status;
        const char* why; ///< "" is good
    } rows[] = {
        {"200", {.answer = answer_with("200 OK")}, {}, ""},
        {"204 has no body and may keep the connection",
         {.answer = answer_with("204 No Content"), .closes = false},
         {},
         ""},
        {"399 is the last good one", {.answer = answer_with("399 Odd")}, {}, ""},
        {"400 is bad", {.answer = answer_with("400 Bad")}, {}, "GET /health answered 400"},
        {"503 is bad", {.answer = answer_with("503 Busy")}, {}, "GET /health answered 503"},
        {"a list of one", {.answer = answer_with("503 Busy")}, {200, 503}, ""},
        {"200 when it is not listed",
         {.answer = answer_with("200 OK")},
         {204},
         "GET /health answered 200"},
        {"an end by length",
         {.answer = answer_with("200 OK", length, "hello"), .closes = false},
         {},
         ""},
        {"an end by chunks",
         {.answer = answer_with("200 OK", chunked, "5\r\nhello\r\n0\r\n\r\n"), .closes = false},
         {},
         ""},
        {"an end by the end", {.answer = answer_with("200 OK", "", "hello")}, {}, ""},
        {"HTTP/1.0", {.answer = "HTTP/1.0 200 OK\r\n\r\nhello"}, {}, ""},
        {"interim answers first",
         {.answer = answer_with("103 Early Hints", "Link: </a>\r\n") + answer_with("100 Continue") +
                    answer_with("200 OK")},
         {},
         ""},
        {"an answer before the question",
         {.answer = answer_with("200 OK", length, "hello"), .waits = false, .closes = false},
         {},
         ""},
        {"in drips", {.answer = answer_with("200 OK", length, "hello"), .drips = true}, {}, ""},
        {"64 KiB of an endless body are enough",
         {.answer = answer_with("200 OK", huge, "x"), .repeats = 1'000'000},
         {},
         ""},
        {"and of one that ends with the connection",
         {.answer = answer_with("200 OK", "", "x"), .repeats = 1'000'000},
         {},
         ""},
        {"closed at once", {}, {}, "GET /health: the connection ended without an answer"},
        {"closed in the header",
         {.answer = "HTTP/1.1 200 OK\r\nContent-"},
         {},
         "GET /health: the connection ended in mid-answer"},
        {"closed in the body",
         {.answer = answer_with("200 OK", length, "hel")},
         {},
         "GET /health: the connection ended in mid-answer"},
        {"garbage", {.answer = "220 smtp ready\r\n"}, {}, "GET /health: no answer in HTTP"},
        {"binary garbage",
         {.answer = std::string{"\x15\x03\x01\0\x02\x02\x50", 7} + std::string(99, '\0')},
         {},
         "GET /health: no answer in HTTP"},
        {"a header without end",
         {.answer = answer_with("200 OK").substr(0, 17) + "X: y", .repeats = 1'000'000},
         {},
         "GET /health: no answer in HTTP"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Probing p;
        p.server.behaviour = row.server;
        ipc::Probe probe = probe_of(Kind::http);
        probe.path = "/health";
        probe.status = row.status;
        const Told told = p.ask(probe);
        const std::string wanted = row.why;
        CAPTURE(told.why);
        CHECK(told.good == wanted.empty());
        CHECK(told.why.starts_with(wanted));
        CHECK(told.why.empty() == wanted.empty());
    }
}

TEST_CASE("http and tcp probe: nobody listens")
{
    for (const Kind kind : {Kind::http, Kind::tcp}) {
        Probing p;
        std::uint16_t free_port = 0;
        {
            const tests::TinyServer gone{p.loop};
            free_port = gone.port();
        }
        p.dial = [free_port] { return dial_tcp("127.0.0.1", free_port); };
        const Told told = p.ask(probe_of(kind));
        CHECK_FALSE(told.good);
        CHECK(told.why.ends_with("connection refused"));
    }
}

TEST_CASE("tcp probe: a connection is good, whatever comes over it")
{
    Probing p;
    p.server.behaviour.closes = false;
    CHECK(p.ask(probe_of(Kind::tcp)) == Told{true, ""});
}

TEST_CASE("probe: a dial that fails is a bad answer with its reason")
{
    Probing p;
    p.dial = [] { return ipc::fail(ENOENT, "connect to /run/x.sock"); };
    CHECK(p.ask(probe_of(Kind::tcp)) ==
          Told{false, "connect to /run/x.sock: no such file or directory"});
}

TEST_CASE("probe: a shortage of our own says nothing about the worker")
{
    for (const int error : {EMFILE, ENFILE, ENOMEM, ENOBUFS}) {
        CAPTURE(error);
        Probing p;
        int failures = 3;
        p.dial = [&]() -> ipc::Result<ipc::UniqueFd> {
            if (failures-- > 0) return ipc::fail(error, "socket");
            return dial_tcp("127.0.0.1", p.server.port());
        };
        CHECK(p.ask(probe_of(Kind::tcp, milliseconds{1})) == Told{true, ""});
    }
    for (const char* call : {"pipe", "open"}) {
        CAPTURE(call);
        Probing p;
        p.system.faults[call] = EMFILE;
        p.start(p.script("exit 0", milliseconds{1}));
        REQUIRE(run_until(p.loop, [&] { return p.system.calls[call] >= 3; }));
        CHECK(p.told.empty());
        p.system.faults.clear();
        REQUIRE(p.answers(1));
        CHECK(p.told[0] == Told{true, ""});
    }
}

TEST_CASE("probe: no answer in time is a bad one, and the next question goes on as ever")
{
    Probing p;
    p.server.behaviour = {.answer = "HTTP/1.1 200 OK\r\n", .closes = false}; // and then nothing
    p.start(probe_of(Kind::http, milliseconds{1}, milliseconds{30}));
    REQUIRE(p.answers(1));
    CHECK(p.told[0] == Told{false, "no answer within 30 ms"});
    p.server.behaviour = {.answer = answer_with("200 OK")};
    REQUIRE(p.answers(2));
    CHECK(p.told[1] == Told{true, ""});
}

TEST_CASE("probe: bytes in drips do not stretch the time")
{
    Probing p;
    p.server.behaviour = {.answer = answer_with("200 OK", "X: " + std::string(30'000, 'x')),
                          .drips = true};
    CHECK(p.ask(probe_of(Kind::http, kNever, milliseconds{50})) ==
          Told{false, "no answer within 50 ms"});
}

TEST_CASE("probe: a limit that comes late because the loop stood still is no answer")
{
    Probing p;
    p.server.behaviour.closes = false; // it never answers
    p.start(probe_of(Kind::http, milliseconds{1}, milliseconds{20}));
    REQUIRE(run_until(p.loop, [&] { return p.server.connections == 1; }));
    p.clock.advance(milliseconds{5'000}); // as after SIGSTOP
    REQUIRE(run_until(p.loop, [&] { return p.server.connections == 2; }));
    CHECK(p.told.empty());
    REQUIRE(p.answers(1)); // the second question has had its time
    CHECK(p.told[0] == Told{false, "no answer within 20 ms"});
}

TEST_CASE("probe: one question at a time, an interval after the last one began, never a burst")
{
    Probing p;
    p.server.behaviour.answer = answer_with("200 OK");
    constexpr milliseconds kInterval{40};
    const auto begin = steady_clock::now();
    p.start(probe_of(Kind::http, kInterval));
    REQUIRE(p.answers(3)); // the clock stands still: each pause is a whole interval
    CHECK(steady_clock::now() - begin >= 2 * kInterval);
    CHECK(p.dials == 3);

    // Many intervals have passed: one question is due, and then a whole interval later the next.
    p.clock.advance(100 * kInterval);
    const auto stalled = steady_clock::now();
    REQUIRE(p.answers(5));
    CHECK(steady_clock::now() - stalled >= kInterval);
    CHECK(p.dials == 5);
}

TEST_CASE("probe: an answer that takes longer than the interval is waited for")
{
    Probing p;
    p.server.behaviour = {.answer = answer_with("200 OK"), .drips = true}; // some 40 ms
    p.start(probe_of(Kind::http, milliseconds{1}));
    REQUIRE(p.answers(2));
    CHECK(p.dials == 2);
    CHECK(p.server.connections == 2);
}

TEST_CASE("probe: destroyed at any moment it is silent, also by its own answer")
{
    for (int turns = 0; turns < 12; ++turns) {
        CAPTURE(turns);
        Probing p;
        p.server.behaviour = {.answer = answer_with("200 OK", "Content-Length: 9\r\n", "12345"),
                              .closes = false};
        p.start(probe_of(Kind::http, milliseconds{1}));
        for (int i = 0; i < turns; ++i) {
            p.loop.restart();
            p.loop.run_one_for(milliseconds{5});
        }
        p.prober.reset();
        p.turn();
        CHECK(p.told.empty());
    }
    Probing p;
    p.server.behaviour.answer = answer_with("200 OK");
    int told = 0;
    std::optional<Prober> prober;
    prober.emplace(p.loop, p.clock, probe_of(Kind::http, milliseconds{1}),
                   ProbeMeans{.dial = p.dial,
                              .host_header = "",
                              .plan_command = {},
                              .launcher = p.launcher,
                              .system = p.system},
                   [&](bool, const std::string&) {
                       ++told;
                       prober.reset();
                   });
    REQUIRE(run_until(p.loop, [&] { return told > 0; }));
    p.turn();
    CHECK(told == 1);
    CHECK(p.dials == 1);
}

TEST_CASE("exec probe: exit code 0 is good, and the last line says why it was not")
{
    const struct {
        const char* name;
        std::string script;
        std::string why; ///< "" is good
    } rows[] = {
        {"good, whatever it says", "echo fine; echo more >&2", ""},
        {"a code", "exit 3", "the command exited with code 3"},
        {"a word on stderr", "echo 'no route' >&2; exit 1",
         "the command exited with code 1: no route"},
        {"a word on stdout", "echo out; exit 1", "the command exited with code 1: out"},
        {"the last line", "echo one; echo two; echo; exit 1",
         "the command exited with code 1: two"},
        {"without a newline", "printf 'one\\ntwo'; exit 1", "the command exited with code 1: two"},
        {"a signal", "echo dying; kill -TERM $$", "the command ended by signal 15: dying"},
        {"fit to be shown", "printf 'a\\033[1mb\\377\\n'; exit 1",
         "the command exited with code 1: a[1mb\uFFFD"},
        {"200 bytes of a long line", "head -c 1000 /dev/zero | tr '\\0' x; exit 1",
         "the command exited with code 1: " + std::string(200, 'x')},
        {"more output than a pipe holds", "yes | head -c 1000000; echo end; exit 1",
         "the command exited with code 1: end"},
        {"no input to wait for", "read line || exit 4", "the command exited with code 4"},
        {"all of its output closed", "exec >&- 2>&-; exit 5", "the command exited with code 5"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Probing p;
        CHECK(p.ask(p.script(row.script)) == Told{row.why.empty(), row.why});
    }
}

TEST_CASE("exec probe: a program that is not there is a bad answer that names it")
{
    Probing p;
    ipc::Probe probe = probe_of(Kind::exec);
    probe.command = {"/nowhere/pg_isready"};
    const Told told = p.ask(probe);
    CHECK_FALSE(told.good);
    CHECK(told.why == "cannot execute /nowhere/pg_isready: no such file or directory");
}

TEST_CASE("exec probe: one that takes too long is killed with its group, and reaped")
{
    Probing p;
    p.start(p.script("sleep 600 & echo $! > child; echo $$ > parent; echo busy; wait", kNever,
                     milliseconds{1'000}));
    const pid_t child = p.pid_in("child");
    const pid_t parent = p.pid_in("parent");
    REQUIRE(p.answers(1));
    CHECK(p.told[0] == Told{false, "no answer within 1000 ms"});
    CHECK(p.dies(child));
    CHECK(p.is_reaped(parent));
}

TEST_CASE("exec probe: a command in the background does not survive its question")
{
    Probing p;
    REQUIRE(p.ask(p.script("sleep 600 & echo $! > child")) == Told{true, ""});
    CHECK(p.dies(p.pid_in("child")));
}

TEST_CASE("exec probe: destruction kills and reaps what still runs")
{
    Probing p;
    p.start(p.script("sleep 600 & echo $! > child; echo $$ > parent; wait"));
    const pid_t child = p.pid_in("child");
    const pid_t parent = p.pid_in("parent");
    p.prober.reset();
    CHECK(p.dies(child));
    CHECK(p.is_reaped(parent));
    CHECK(p.told.empty());
}

TEST_CASE("exec probe: endless output neither blocks the command nor holds up the loop")
{
    Probing p;
    p.start(p.script("yes", kNever, milliseconds{100}));
    int others = 0;
    REQUIRE(run_until(p.loop, [&] {
        boost::asio::post(p.loop, [&] { ++others; });
        return !p.told.empty();
    }));
    CHECK(p.told[0] == Told{false, "no answer within 100 ms"});
    CHECK(others > 3);
}

TEST_CASE("log probe: the first line that matches is the one answer, from either stream")
{
    Probing p;
    ipc::Probe probe = probe_of(Kind::log);
    probe.pattern = "^listening on [0-9]+$";
    p.start(probe);
    p.prober->on_output(StreamKind::out, "starting\nlistening ");
    p.turn();
    p.prober->on_output(StreamKind::err, "on 3000\n"); // another stream, another line
    p.turn();
    CHECK(p.told.empty());
    p.prober->on_output(StreamKind::err, "warning\nlisten");
    p.prober->on_output(StreamKind::err, "ing on 3000\nlistening on 3001\n");
    CHECK(p.told.empty()); // never from within a call
    p.turn();
    CHECK(p.told == std::vector<Told>{{true, ""}});
    p.prober->on_output(StreamKind::out, "listening on 3000\n");
    p.turn();
    CHECK(p.told.size() == 1);
}

TEST_CASE("log probe: others have their turn between two lines")
{
    Probing p;
    ipc::Probe probe = probe_of(Kind::log);
    probe.pattern = "needle";
    p.start(probe);
    std::string hay;
    for (int i = 0; i < 100; ++i)
        hay += "hay\n";
    p.prober->on_output(StreamKind::out, hay + "needle\n");
    bool served = false;
    boost::asio::post(p.loop, [&] { served = true; });
    REQUIRE(run_until(p.loop, [&] { return served; }));
    CHECK(p.told.empty());
    REQUIRE(p.answers(1));
}

TEST_CASE("log probe: a pattern that cannot be used is told")
{
    Probing p;
    ipc::Probe probe = probe_of(Kind::log);
    probe.pattern = "(a)\\1";
    const Told told = p.ask(probe);
    CHECK_FALSE(told.good);
    CHECK(told.why.starts_with("the pattern cannot be used: "));
    p.prober->on_output(StreamKind::out, "aa\n");
    p.turn();
    CHECK(p.told.size() == 1);
}

TEST_CASE("log probe: destroyed with lines waiting it is silent, and output for others is ignored")
{
    Probing p;
    ipc::Probe probe = probe_of(Kind::log);
    probe.pattern = "x";
    p.start(probe);
    p.prober->on_output(StreamKind::out, "x\n");
    p.prober.reset();
    p.turn();
    CHECK(p.told.empty());
    p.server.behaviour.closes = false;
    p.start(probe_of(Kind::http));
    p.prober->on_output(StreamKind::out, "x\n");
    p.turn();
    CHECK(p.told.empty());
}
