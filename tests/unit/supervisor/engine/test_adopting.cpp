// Supervisor, going on where another one was: one machine is left as it stands, and another one,
// with the same processes, adopts its rows. Pipes and sockets: test_adopting_descriptors.cpp.
#include "supervisor/engine/supervisor.hpp"

#include "tests/unit/supervisor/engine/heir.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

TEST_CASE("adopting: a row in each state, with its process, without one, and with a stranger's")
{
    enum class Process { none, its_own, strangers, gone };
    using enum Process;
    const struct {
        State state;
        Process process;
        State want;
        bool alive;        ///< of the process that it had
        int launches;      ///< of another one
        std::size_t exits; ///< recorded
    } rows[] = {
        {State::stopped, none, State::stopped, false, 0, 0},
        {State::errored, none, State::errored, false, 0, 0},
        {State::launching, none, State::online, true, 1, 0},
        {State::launching, its_own, State::online, true, 0, 0},
        {State::launching, gone, State::online, true, 1, 1},
        {State::launching, strangers, State::online, true, 1, 1},
        {State::online, its_own, State::online, true, 0, 0},
        {State::online, gone, State::online, true, 1, 1},
        {State::online, strangers, State::online, true, 1, 1},
        {State::stopping, its_own, State::stopping, true, 0, 0},
        {State::stopping, gone, State::stopped, false, 0, 1},
        {State::stopping, strangers, State::stopped, false, 0, 1},
        {State::stopping, none, State::stopped, false, 0, 0},
        {State::waiting_restart, none, State::waiting_restart, false, 0, 0},
    };
    for (const auto& row : rows) {
        CAPTURE(name_of(row.state));
        CAPTURE(static_cast<int>(row.process));
        Heir m;
        if (row.process == its_own) m.has_process();
        if (row.process == strangers) m.has_process(kPid, kStart + 1);
        KnownWorker known = m.known(row.state, row.process != none);
        known.record.due_at = m.clock.now() + 1h;
        Worker& worker = m.adopt(std::move(known));
        CHECK(worker.key == 5);
        CHECK(m.supervisor.find(2) == &worker);
        CHECK(m.supervisor.find_row(5) == &worker);
        m.supervisor.resume(0ms);
        REQUIRE(m.until(worker, row.want));
        for (int turns = 0; turns < 5; ++turns)
            m.turn();
        CHECK(worker.life.state == row.want);
        CHECK(worker.alive() == row.alive);
        CHECK(m.launcher.plans.size() == static_cast<std::size_t>(row.launches));
        CHECK(worker.exits.size() == row.exits);
        CHECK((worker.pid == kPid) == (row.process == its_own));
        if (row.process == strangers) CHECK(m.signals().empty());
        // Whoever keeps the way that it ended may forget it.
        if (row.exits > 0) {
            CHECK(worker.exits[0].status == ipc::kUnknownExit);
            CHECK(m.notes.known == std::vector{std::pair{kPid, kStart}});
        } else {
            CHECK(m.notes.known.empty());
        }
        CHECK(std::ranges::count(m.notes.rows, worker.key) > 0);
    }
}

TEST_CASE("adopting: an adopted process that ends later is told about, and launched again")
{
    struct Row {
        std::string name;
        bool told_by_parent, told_by_kernel;
        ipc::ExitStatus want;
    };
    const Row rows[] = {
        {"the guardian has waited for it", true, false, {.code = 3, .signal = 0}},
        {"the kernel knows", false, true, {.code = 0, .signal = SIGSEGV}},
        {"nobody knows", false, false, ipc::kUnknownExit},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        Heir m;
        m.has_process();
        Worker& worker = m.adopt(m.known(State::online));
        m.supervisor.resume(1000ms);
        m.turn();
        REQUIRE(worker.pid == kPid);
        m.clock.advance(5000ms);
        if (row.told_by_kernel) m.system.exit_told = row.want;
        m.ends();
        if (!row.told_by_kernel) {
            m.turn(); // its end is seen, not yet how
            m.turn();
            CHECK(worker.pid == kPid);
            CHECK(worker.exits.empty());
        }
        if (row.told_by_parent) m.supervisor.on_ended(kPid, kStart, row.want);
        if (!row.told_by_parent && !row.told_by_kernel) m.clock.advance(1000ms);
        REQUIRE(m.until([&] { return m.launcher.plans.size() == 1 && worker.alive(); }));
        REQUIRE(worker.exits.size() == 1);
        CHECK(worker.exits[0].status == row.want);
        CHECK(worker.exits[0].uptime >= 5000ms);
        CHECK(m.notes.known == std::vector{std::pair{kPid, kStart}});
        CHECK(m.system.count("wait for " + std::to_string(kPid)) ==
              0);                    // it is not ours to wait for
        CHECK_FALSE(worker.adopted); // but its next one is
        const pid_t next = worker.pid;
        m.launcher.end(next, {.code = 1, .signal = 0});
        REQUIRE(m.until([&] { return worker.exits.size() == 2; }));
        CHECK(m.system.count("wait for " + std::to_string(next)) == 1);
    }
}

TEST_CASE("adopting: where nobody is going to tell, how it ended is not waited for")
{
    Heir m;
    m.has_process();
    Worker& worker = m.adopt(m.known(State::online));
    m.supervisor.resume(0ms);
    m.turn();
    m.ends();
    REQUIRE(m.until([&] { return !worker.exits.empty(); }));
    CHECK(worker.exits[0].status == ipc::kUnknownExit);
}

TEST_CASE("adopting: how it ended is seen though its parent has not waited for it yet")
{
    for (const bool before_us : {false, true}) { // it ended while there was no daemon
        CAPTURE(before_us);
        Heir m;
        m.has_process();
        if (before_us) m.is_zombie({.pid = kPid, .start_time = kStart, .wait_status = SIGSEGV});
        Worker& worker = m.adopt(m.known(State::online));
        m.system.pidfds.erase(before_us ? kPid : 0);
        m.supervisor.resume(0ms);
        m.turn();
        if (!before_us) m.is_zombie({.pid = kPid, .start_time = kStart, .wait_status = SIGSEGV});
        REQUIRE(m.until([&] { return !worker.exits.empty(); }));
        CHECK(worker.exits[0].status == ipc::ExitStatus{.code = 0, .signal = SIGSEGV});
    }
}

TEST_CASE("adopting: many that end at once are looked for in few passes over all processes")
{
    constexpr int kMany = 60;
    Heir m;
    ipc::AppSpec spec = app();
    spec.autorestart = false;
    std::vector<Worker*> workers;
    for (int i = 0; i < kMany; ++i) {
        m.has_process(kPid - i);
        KnownWorker known = m.known(State::online);
        known.record.key += static_cast<std::uint64_t>(i);
        known.record.id += i;
        known.record.pid = known.record.tree = kPid - i;
        known.record.unique_id += std::to_string(i);
        workers.push_back(&m.adopt(std::move(known), spec));
    }
    // Of the last one, something is left: it has to be found in the same way.
    add_process(m.system, {.pid = kPid + 1, .start_time = kStart + 1});
    set_environment(m.system, kPid + 1, "unique_id=" + workers.back()->unique_id + '\0');
    m.system.alive.insert(kPid + 1);
    m.supervisor.resume(0ms);
    m.turn();
    const int before = m.system.count("list directory /proc");
    m.system.exit_told = ipc::ExitStatus{.code = 3, .signal = 0};
    for (int i = 0; i < kMany; ++i)
        m.ends(kPid - i);
    REQUIRE(m.until([&] { return !m.signals(kPid + 1).empty(); }));
    m.ends(kPid + 1);
    REQUIRE(m.until([&] {
        return std::ranges::all_of(workers, [](const Worker* it) { return it->tree == 0; });
    }));
    CHECK(m.signals(kPid + 1) == std::vector{SIGKILL});
    CHECK(m.system.count("list directory /proc") - before < kMany / 3);
}

TEST_CASE("adopting: as long as other threads go on, it has not ended")
{
    Heir m;
    m.has_process();
    Worker& worker = m.adopt(m.known(State::online));
    m.supervisor.resume(1000ms);
    m.turn();
    m.is_zombie({.pid = kPid, .start_time = kStart, .threads = 2, .wait_status = SIGSEGV});
    m.clock.advance(1h);
    const int looks = m.system.count("read /proc/" + std::to_string(kPid) + "/stat");
    REQUIRE(m.until([&] {
        return m.system.count("read /proc/" + std::to_string(kPid) + "/stat") > looks + 5;
    }));
    CHECK(worker.pid == kPid);
    CHECK(worker.exits.empty());
}

TEST_CASE("adopting: what was told of an end before the rows resume is used once")
{
    Heir m;
    auto spec = app();
    spec.autorestart = false;
    Worker& worker = m.adopt(m.known(State::online), spec);
    m.supervisor.on_ended(kPid, kStart, {.code = 9, .signal = 0});
    CHECK(m.notes.known.empty()); // not before it stands in the row
    m.supervisor.resume(0ms);
    REQUIRE(m.until(worker, State::stopped));
    REQUIRE(worker.exits.size() == 1);
    CHECK(worker.exits[0].status.code == 9);
    CHECK(m.notes.known == std::vector{std::pair{kPid, kStart}});
}

TEST_CASE("adopting: ends of processes that no row has are known at once")
{
    Heir m;
    Worker& worker = m.adopt(m.known(State::stopped, false));
    m.supervisor.on_ended(kPid, kStart, {.code = 1, .signal = 0});
    CHECK(m.notes.known == std::vector{std::pair{kPid, kStart}});
    m.supervisor.resume(0ms);
    CHECK(worker.exits.empty());

    m.has_process(); // of the same number, and another process
    KnownWorker row = m.known(State::online);
    row.record.key = 6;
    row.record.id = 3;
    Worker& other = m.adopt(std::move(row));
    m.supervisor.on_ended(kPid, kStart + 1, {.code = 1, .signal = 0});
    CHECK(m.notes.known.back() == std::pair{kPid, kStart + 1});
    m.supervisor.resume(0ms);
    m.turn();
    CHECK(other.pid == kPid);
}

TEST_CASE("adopting: a process that was launched and not written down belongs to its row")
{
    Heir m;
    m.has_process();
    const auto process = read_stat(m.system, kPid);
    REQUIRE(process);
    Worker& worker = m.adopt(m.known(State::launching, false), app(), *process);
    CHECK(worker.pid == kPid);
    CHECK(worker.tree == kPid);
    CHECK(worker.start_time == kStart);
    m.supervisor.resume(0ms);
    REQUIRE(m.until(worker, State::online));
    m.turn();
    CHECK(m.launcher.plans.empty());
    CHECK(worker.pid == kPid);
}

TEST_CASE("adopting: a stop under way has the rest of its time, and no more signals than before")
{
    const struct {
        const char* name;
        ipc::milliseconds left; ///< of the kill timeout, when the heir begins
        bool killed;
    } rows[] = {
        {"an hour is left", 1h, false},
        {"its time was up while nobody was there", -5s, true},
        {"its time is up now", 0s, true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Heir m;
        m.has_process();
        KnownWorker known = m.known(State::stopping);
        known.record.told = true;
        known.record.due_at = m.clock.now() + row.left;
        known.record.cause = "stop asked by pid 7";
        Worker& worker = m.adopt(std::move(known));
        m.supervisor.resume(0ms);
        if (row.killed) {
            REQUIRE(m.until([&] { return !m.system.kills.empty(); }));
            CHECK(m.signals() == std::vector{SIGKILL});
            CHECK(worker.tree_killed);
        } else {
            for (int turns = 0; turns < 5; ++turns)
                m.turn();
            CHECK(m.signals().empty());
            CHECK(worker.due_at == m.clock.now() + row.left);
        }
        m.ends();
        m.supervisor.on_ended(kPid, kStart, {.code = 0, .signal = 0});
        REQUIRE(m.until(worker, State::stopped));
        CHECK(worker.exits[0].reason.ends_with("(stop asked by pid 7)"));
        CHECK(m.launcher.plans.empty());
    }
}

TEST_CASE("adopting: a stop that the worker had not heard of is told now")
{
    Heir m;
    m.has_process();
    auto spec = app();
    spec.kill_signal = SIGTERM;
    spec.kill_timeout = 1h;
    Worker& worker = m.adopt(m.known(State::stopping), spec);
    m.supervisor.resume(0ms);
    CHECK(m.signals() == std::vector{SIGTERM});
    CHECK(worker.told);
    CHECK(worker.due_at == m.clock.now() + 1h);
}

TEST_CASE("adopting: a drain under way goes on, and ends in the signal that was to come")
{
    Heir m;
    m.has_process();
    auto spec = app(); // without a socket nothing is in hand
    spec.kill_signal = SIGTERM;
    KnownWorker known = m.known(State::stopping);
    known.record.leave = Leave::drained;
    known.record.draining = true;
    Worker& worker = m.adopt(std::move(known), spec);
    m.supervisor.resume(0ms);
    CHECK_FALSE(worker.draining);
    CHECK(m.signals() == std::vector{SIGTERM});
}

TEST_CASE("adopting: what was killed is killed once more and looked for until it is gone")
{
    Heir m;
    m.has_process();
    KnownWorker known = m.known(State::stopping);
    known.record.told = known.record.tree_killed = true;
    known.record.kill_sent_at = m.clock.now();
    Worker& worker = m.adopt(std::move(known));
    m.supervisor.resume(0ms);
    CHECK(m.signals() == std::vector{SIGKILL});
    m.clock.advance(5001ms);
    REQUIRE(m.until(worker, State::errored)); // an uninterruptible wait
}

TEST_CASE("adopting: what follows a stop follows")
{
    const struct {
        After after;
        int launches;
        bool removed;
    } rows[] = {
        {After::nothing, 0, false},
        {After::start, 1, false},
        {After::remove, 0, true},
    };
    for (const auto& row : rows) {
        CAPTURE(static_cast<int>(row.after));
        Heir m;
        m.has_process();
        KnownWorker known = m.known(State::stopping);
        known.record.told = true;
        known.record.due_at = m.clock.now() + 1h;
        known.record.life.after = row.after;
        m.adopt(std::move(known));
        m.supervisor.resume(0ms);
        m.turn();
        m.ends();
        m.supervisor.on_ended(kPid, kStart, {});
        REQUIRE(m.until([&] { return !m.notes.known.empty(); }));
        for (int turns = 0; turns < 5; ++turns)
            m.turn();
        CHECK(m.launcher.plans.size() == static_cast<std::size_t>(row.launches));
        CHECK((m.supervisor.find_row(5) == nullptr) == row.removed);
    }
}

TEST_CASE(
    "adopting: the rest of a tree whose process has ended is killed, then it is launched again")
{
    Heir m;
    KnownWorker known = m.known(State::online);
    known.record.pid = 0; // its end was written down already
    known.record.last_status = ipc::ExitStatus{.code = 1, .signal = 0};
    constexpr pid_t child = kPid + 5;
    tests::add_process(m.system, {.pid = child, .group = kPid, .session = kPid});
    m.system.alive = {child, -kPid};
    Worker& worker = m.adopt(std::move(known));
    m.supervisor.resume(0ms);
    REQUIRE(m.until([&] { return !m.signals(child).empty(); }));
    CHECK(m.signals(child) == std::vector{SIGKILL});
    CHECK(m.launcher.plans.empty());
    tests::remove_process(m.system, child);
    m.system.alive.clear();
    REQUIRE(m.until([&] { return m.launcher.plans.size() == 1; }));
    CHECK(worker.exits.empty()); // it was recorded before
    CHECK(m.notes.known.empty());
}

TEST_CASE("adopting: the rest of a tree has what is left of the time of a stop")
{
    const struct {
        const char* name;
        bool told;
        ipc::milliseconds left;
        std::vector<int> signals;
    } rows[] = {
        {"it was told: no second time", true, 1h, {}},
        {"its time is up", true, -1s, {SIGKILL}},
        {"nobody had told it", false, 1h, {SIGTERM}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Heir m;
        KnownWorker known = m.known(State::stopping);
        known.record.pid = 0; // its end was written down already
        known.record.last_status = ipc::ExitStatus{.code = 0, .signal = SIGTERM};
        known.record.told = row.told;
        if (row.told) known.record.due_at = m.clock.now() + row.left;
        constexpr pid_t child = kPid + 5;
        tests::add_process(m.system, {.pid = child, .group = kPid, .session = kPid});
        m.system.alive = {child, -kPid};
        auto spec = app();
        spec.kill_signal = SIGTERM;
        spec.kill_timeout = 1h;
        Worker& worker = m.adopt(std::move(known), spec);
        m.supervisor.resume(0ms);
        if (row.left < 0s) REQUIRE(m.until([&] { return !m.signals(child).empty(); }));
        for (int turns = 0; turns < 5; ++turns)
            m.turn();
        CHECK(m.signals(child) == row.signals);
        CHECK(worker.due_at == m.clock.now() + row.left);
        tests::remove_process(m.system, child);
        m.system.alive.clear();
        REQUIRE(m.until(worker, State::stopped));
    }
}

TEST_CASE("adopting: a restart delay goes on for the rest of its time")
{
    Heir m;
    KnownWorker known = m.known(State::waiting_restart, false);
    known.record.due_at = m.clock.now() - 1ms;
    Worker& worker = m.adopt(std::move(known));
    m.supervisor.resume(0ms);
    CHECK(m.until(worker, State::online));
}

TEST_CASE("adopting: new rows, keys and ids come behind those that there were")
{
    Heir m;
    Worker& adopted = m.adopt(m.known(State::stopped, false));
    Worker& fresh = m.supervisor.add(adopted.app, 1);
    CHECK(fresh.key == 6);
    CHECK(fresh.id == 3);
}

TEST_CASE("adopting: a half of a reload stays in nobody's list")
{
    Heir m;
    m.has_process();
    Worker& old = m.adopt(m.known(State::online));
    KnownWorker half = m.known(State::launching, false);
    half.record.key = 6;
    half.hidden = true;
    Worker& successor = m.adopt(std::move(half));
    CHECK(m.supervisor.find(2) == &old);
    CHECK_FALSE(m.supervisor.is_shown(successor));
    m.supervisor.resume(0ms);
    REQUIRE(m.until(successor, State::online));
    m.supervisor.promote(successor);
    CHECK(m.supervisor.find(2) == &successor);
}
