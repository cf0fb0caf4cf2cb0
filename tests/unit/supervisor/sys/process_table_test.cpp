#include "supervisor/sys/process_table.hpp"

#include "tests/unit/supervisor/sys/fake_proc.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>

using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::string_literals;
using Pids = std::vector<pid_t>;

namespace {

constexpr pid_t kGuardian = 50;
constexpr pid_t kManager = 60;
const Pids kReapers{kGuardian, kManager};
const TreeRoot kRoot{.pid = 100, .start_time = 1000, .marker = "unique_id=abc"};

/// A manager with its guardian, both older than any worker.
ScriptedSystem machine()
{
    ScriptedSystem system;
    add_process(system, {.pid = 1, .parent = 0, .start_time = 1});
    add_process(system, {.pid = kGuardian, .start_time = 500});
    add_process(system, {.pid = kManager, .parent = kGuardian, .start_time = 510});
    return system;
}

FakeProcess worker()
{
    return {.pid = 100, .parent = kManager};
}

Pids tree(ScriptedSystem& system, const TreeRoot& root = kRoot, const Pids& known = {})
{
    Pids pids;
    for (const ProcessStat& process :
         ProcessForest(system, read_process_table(system), kReapers, known).tree_of(root))
        pids.push_back(process.pid);
    return pids;
}

} // namespace

TEST_CASE("parse_stat: takes the fields of man 5 proc that we use")
{
    const auto stat = parse_stat(
        "4242 (node) R 60 4242 4240 34816 4242 4194304 2500 0 3 0 120 45 7 8 20 0 11 0 987654 "
        "1234567890 1500 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n");
    REQUIRE(stat);
    CHECK(stat->pid == 4242);
    CHECK(stat->state == 'R');
    CHECK(stat->parent == 60);
    CHECK(stat->group == 4242);
    CHECK(stat->session == 4240);
    CHECK(stat->cpu_ticks == 165);
    CHECK(stat->threads == 11);
    CHECK(stat->start_time == 987654);
    CHECK(stat->resident_bytes == 1500U * static_cast<unsigned>(::sysconf(_SC_PAGESIZE)));
}

TEST_CASE("parse_stat: a name may hold anything")
{
    for (const char* const name : {"a b", "a) R 7 7", "((", "))", "", "a (b) S 1 2 3"}) {
        CAPTURE(name);
        const auto stat = parse_stat(stat_text({.pid = 7, .parent = 5, .name = name}));
        REQUIRE(stat);
        CHECK(stat->pid == 7);
        CHECK(stat->parent == 5);
        CHECK(stat->state == 'S');
    }
}

TEST_CASE("parse_stat: what is cut short or is no stat is refused")
{
    const std::string good = stat_text({.pid = 7});
    for (const std::string& text : {""s, "7"s, "7 (x)"s, "7 (x) "s, "x (x) S 1 2 3"s,
                                    good.substr(0, good.find(" 99999")), good.substr(0, 20)}) {
        CAPTURE(text);
        CHECK(!parse_stat(text));
    }
}

TEST_CASE("read_process_table: skips what is no process or ends while we read")
{
    ScriptedSystem system = machine();
    add_process(system, worker());
    system.files["/proc/meminfo"] = "x";
    system.files["/proc/200/cmdline"] = "gone before its stat was read";
    Pids pids;
    for (const ProcessStat& process : read_process_table(system))
        pids.push_back(process.pid);
    std::ranges::sort(pids);
    CHECK(pids == Pids{1, kGuardian, kManager, 100});
}

TEST_CASE("tree_of: descendants by parent, also those in sessions of their own, deepest first")
{
    ScriptedSystem system = machine();
    add_process(system, worker());
    add_process(system,
                {.pid = 110, .parent = 100, .group = 100, .session = 100, .start_time = 1001});
    add_process(system, {.pid = 111, .parent = 110, .start_time = 1002}); // called setsid
    add_process(system, {.pid = 112, .parent = 111, .start_time = 1003});
    add_process(system, {.pid = 120, .parent = 100, .start_time = 1004});
    add_process(system, {.pid = 200, .parent = kManager, .start_time = 1005}); // another worker
    CHECK(tree(system) == Pids{112, 111, 120, 110, 100});
}

TEST_CASE("tree_of: members of the session and of the group when the root has gone")
{
    ScriptedSystem system = machine();
    add_process(
        system,
        {.pid = 110, .parent = kGuardian, .group = 100, .session = 100, .start_time = 1001});
    add_process(
        system,
        {.pid = 111, .parent = kGuardian, .group = 111, .session = 100, .start_time = 1002});
    add_process(system, {.pid = 112, .parent = 111, .start_time = 1003});
    CHECK(tree(system) == Pids{112, 111, 110});
}

TEST_CASE("tree_of: each row is one orphan in a session of its own")
{
    const struct {
        const char* name;
        FakeProcess orphan;
        std::string environment;
        bool ours;
    } rows[] = {
        {"of the guardian", {.pid = 300, .parent = kGuardian}, "A=1\0unique_id=abc\0B=2\0"s, true},
        {"of the manager", {.pid = 300, .parent = kManager}, "unique_id=abc\0"s, true},
        {"of init", {.pid = 300, .parent = 1}, "A=1\0unique_id=abc"s, true},
        {"another worker's", {.pid = 300, .parent = kGuardian}, "unique_id=xyz\0"s, false},
        {"a longer id", {.pid = 300, .parent = kGuardian}, "unique_id=abcd\0"s, false},
        {"a longer name", {.pid = 300, .parent = kGuardian}, "my_unique_id=abc\0"s, false},
        {"one true among false ones",
         {.pid = 300, .parent = kGuardian},
         "x_unique_id=abc\0unique_id=abcd\0unique_id=abc\0"s,
         true},
        {"an empty environment", {.pid = 300, .parent = kGuardian}, "", false},
        {"older than the worker",
         {.pid = 300, .parent = kGuardian, .start_time = 999},
         "unique_id=abc\0"s,
         false},
        {"a child of somebody else", {.pid = 300, .parent = 70}, "unique_id=abc\0"s, false},
        {"a zombie", {.pid = 300, .parent = kGuardian, .state = 'Z'}, "unique_id=abc\0"s, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system = machine();
        add_process(system, {.pid = 70, .start_time = 600});
        add_process(system, worker());
        add_process(system, row.orphan);
        add_process(system, {.pid = 301, .parent = 300, .start_time = 1100});
        set_environment(system, 300, row.environment);
        CHECK(tree(system) == (row.ours ? Pids{301, 300, 100} : Pids{100}));
    }
}

TEST_CASE("tree_of: an unreadable environment is a stranger's, and so is an unmarked tree's")
{
    ScriptedSystem system = machine();
    add_process(system, worker());
    add_process(system, {.pid = 300, .parent = kGuardian});
    CHECK(tree(system) == Pids{100});
    set_environment(system, 300, "unique_id=abc\0"s);
    CHECK(tree(system, {.pid = 100, .start_time = 1000, .marker = ""}) == Pids{100});
}

TEST_CASE("tree_of: an orphan in the middle of an exec is asked again when that is over")
{
    ScriptedSystem system = machine();
    add_process(system, worker());
    add_process(system, {.pid = 300, .parent = kGuardian, .in_exec = true});
    set_environment(system, 300, "");
    system.then_files["/proc/300/environ"] = {"", "unique_id=abc\0"s};
    CHECK(tree(system) == Pids{300, 100});
    CHECK(system.count("read /proc/300/environ") == 3);

    set_environment(system, 300, "");
    system.files["/proc/300/stat"] = stat_text({.pid = 300, .parent = kGuardian});
    CHECK(tree(system) == Pids{100}); // really without an environment: asked once
    CHECK(system.count("read /proc/300/environ") == 4);
}

TEST_CASE("tree_of: many trees of one moment, and an orphan's environment is read once for all")
{
    ScriptedSystem system = machine();
    Pids known;
    for (pid_t pid = 1000; pid < 1100; ++pid) {
        add_process(system, {.pid = pid, .parent = kManager, .group = pid, .session = pid});
        add_process(system, {.pid = pid + 1000, .parent = pid, .start_time = 1001});
        known.push_back(pid);
    }
    add_process(system, {.pid = 3000, .parent = kGuardian, .start_time = 1002});
    set_environment(system, 3000, "unique_id=w1050\0"s);
    const ProcessForest forest{system, read_process_table(system), kReapers, known};
    for (const pid_t pid : known) {
        Pids pids;
        for (const ProcessStat& process : forest.tree_of(
                 {.pid = pid, .start_time = 1000, .marker = "unique_id=w" + std::to_string(pid)}))
            pids.push_back(process.pid);
        CHECK(pids == (pid == 1050 ? Pids{2050, 3000, 1050} : Pids{pid + 1000, pid}));
    }
    CHECK(system.count("read /proc/3000/environ") == 1);
}

TEST_CASE("PidSet: holds each pid once, whatever the order")
{
    PidSet pids{30, 10, 20};
    pids.insert(20);
    pids.erase(20);
    pids.erase(99);
    pids.insert(5);
    CHECK(pids.contains(5));
    CHECK(pids.contains(10));
    CHECK_FALSE(pids.contains(20));
    CHECK(pids.contains(30));
}

TEST_CASE("tree_of: the pid of a dead worker that was given to a stranger means nothing")
{
    ScriptedSystem system = machine();
    add_process(system, {.pid = 100, .parent = 1, .start_time = 5000});
    add_process(system,
                {.pid = 400, .parent = 100, .group = 100, .session = 100, .start_time = 5001});
    CHECK(tree(system) == Pids{});
}

TEST_CASE("tree_of: zombies are left out, but not a process whose first thread alone has ended")
{
    ScriptedSystem system = machine();
    add_process(system, {.pid = 100, .parent = kManager, .state = 'Z'});
    add_process(system, {.pid = 110,
                         .parent = 100,
                         .group = 100,
                         .session = 100,
                         .start_time = 1001,
                         .state = 'Z',
                         .threads = 3});
    add_process(system, {.pid = 111, .parent = 110, .start_time = 1002});
    CHECK(tree(system) == Pids{111, 110});
}

TEST_CASE("tree_of: never holds the daemons, and asks known processes for nothing")
{
    ScriptedSystem system = machine();
    // A guardian that carries the marker: it was started from inside that worker.
    set_environment(system, kGuardian, "unique_id=abc\0"s);
    add_process(system, {.pid = kGuardian, .group = 100, .session = 100, .start_time = 1500});
    add_process(system, worker());
    add_process(system, {.pid = 200, .parent = kManager});
    set_environment(system, 200, "unique_id=abc\0"s);
    CHECK(tree(system, kRoot, {200}) == Pids{100});
    CHECK(system.count("read /proc/200/environ") == 0);
}

TEST_CASE("tree_of: a table read in a race, with a circle of parents, ends all the same")
{
    ScriptedSystem system = machine();
    add_process(system, {.pid = 300, .parent = 301, .start_time = 1001});
    add_process(system, {.pid = 301, .parent = 300, .start_time = 1001});
    add_process(system, {.pid = 302, .parent = 302, .group = 100, .start_time = 1001});
    CHECK(tree(system) == Pids{302});
}

TEST_CASE("may_have_survivors: the group is asked first")
{
    const struct {
        const char* name;
        bool group;
        int error;
        bool want;
    } rows[] = {
        {"nothing in the group", false, 0, false},
        {"something in the group", true, 0, true},
        {"something that may not be signalled", true, EPERM, true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system = machine();
        if (row.group) system.alive.insert(-100);
        if (row.error != 0) system.fail_always("kill -100 0", row.error);
        CHECK(may_have_survivors(system, kRoot, kReapers, {}) == row.want);
    }
}

TEST_CASE("may_have_survivors: each row is one child of a reaper")
{
    const struct {
        const char* name;
        FakeProcess child;
        std::string environment;
        bool want;
    } rows[] = {
        {"with the marker", {.pid = 300, .parent = kGuardian}, "unique_id=abc\0"s, true},
        {"in the session", {.pid = 300, .parent = kGuardian, .session = 100}, "", true},
        {"without the marker", {.pid = 300, .parent = kGuardian}, "A=1\0"s, false},
        {"older than the worker",
         {.pid = 300, .parent = kGuardian, .start_time = 999},
         "unique_id=abc\0"s,
         false},
        {"a zombie", {.pid = 300, .parent = kGuardian, .state = 'Z'}, "unique_id=abc\0"s, false},
        {"known", {.pid = 200, .parent = kManager}, "unique_id=abc\0"s, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system = machine();
        add_process(system, row.child);
        set_environment(system, row.child.pid, row.environment);
        CHECK(may_have_survivors(system, kRoot, kReapers, {250, 200}) == row.want);
    }
}

TEST_CASE("may_have_survivors: passes over nothing but the reapers' children")
{
    ScriptedSystem system = machine();
    for (pid_t pid = 200; pid < 260; ++pid)
        add_process(system, {.pid = pid, .parent = kManager});
    Pids known;
    for (pid_t pid = 259; pid >= 200; --pid)
        known.push_back(pid);
    CHECK(!may_have_survivors(system, kRoot, kReapers, known));
    CHECK(system.count("list directory /proc") == 0);
    CHECK(system.calls.size() <= 1 + 2 * 3); // the group; each reaper's stat and children twice
}

TEST_CASE("may_have_survivors: a child that the kernel skipped in one reading is seen in the next")
{
    ScriptedSystem system = machine();
    // In the first reading 300 is reaped while the list is read, and 301 after it is skipped.
    add_process(system, {.pid = 301, .parent = kGuardian});
    set_environment(system, 301, "unique_id=abc\0"s);
    const std::string list = "/proc/50/task/50/children";
    system.files[list] = "60 300 ";
    system.then_files[list] = {"60 301 "};
    CHECK(may_have_survivors(system, kRoot, kReapers, {}));
}

TEST_CASE("children_of: of one thread, of many, and more than fit a buffer")
{
    ScriptedSystem system;
    add_process(system, {.pid = 7});
    CHECK(children_of(system, 7, 1) == Pids{});
    system.files["/proc/7/task/7/children"] = "8 9 ";
    CHECK(children_of(system, 7, 1) == Pids{8, 9});
    system.files["/proc/7/task/12/children"] = "13 ";
    auto all = children_of(system, 7, 2);
    std::ranges::sort(all);
    CHECK(all == Pids{8, 9, 13});

    Pids many;
    std::string text;
    for (pid_t pid = 10'000; pid < 12'000; ++pid) {
        many.push_back(pid);
        text += std::to_string(pid) + " ";
    }
    system.files["/proc/7/task/7/children"] = text;
    CHECK(children_of(system, 7, 1) == many);
}

TEST_CASE("children_of: a kernel without that file is asked by parent")
{
    ScriptedSystem system = machine();
    add_process(system, {.pid = 100, .parent = kManager, .threads = 2});
    add_process(system, {.pid = 110, .parent = 100});
    std::erase_if(system.files, [](const auto& file) { return file.first.ends_with("/children"); });
    CHECK(children_of(system, kManager, 1) == Pids{100});
    CHECK(children_of(system, 100, 1) == Pids{110});
    system.files["/proc/100/task/100/comm"] = "app\n";
    system.files["/proc/100/task/101/comm"] = "app\n";
    CHECK(children_of(system, 100, 2) == Pids{110});

    const auto passes = system.count("list directory /proc");
    CHECK(children_of(system, 999, 1) == Pids{}); // has gone: no reason for a pass
    CHECK(system.count("list directory /proc") == passes);
}

TEST_CASE("zombie status: how a process has ended that nobody has waited for yet, and no other one")
{
    using cluster::ipc::ExitStatus;
    const FakeProcess zombie{.pid = 100, .start_time = 1000, .state = 'Z'};
    const auto with = [&](auto change) {
        FakeProcess process = zombie;
        change(process);
        return process;
    };
    const struct {
        const char* name;
        FakeProcess process;
        std::optional<ExitStatus> want;
    } rows[] = {
        {"exit code 0", zombie, ExitStatus{.code = 0, .signal = 0}},
        {"exit code 3", with([](FakeProcess& p) { p.wait_status = 3 << 8; }),
         ExitStatus{.code = 3, .signal = 0}},
        {"exit code 255", with([](FakeProcess& p) { p.wait_status = 255 << 8; }),
         ExitStatus{.code = 255, .signal = 0}},
        {"a signal", with([](FakeProcess& p) { p.wait_status = SIGKILL; }),
         ExitStatus{.code = 0, .signal = SIGKILL}},
        {"a signal that left a core", with([](FakeProcess& p) { p.wait_status = SIGSEGV | 0x80; }),
         ExitStatus{.code = 0, .signal = SIGSEGV}},
        {"it lives", with([](FakeProcess& p) { p.state = 'S'; }), std::nullopt},
        {"other threads go on", with([](FakeProcess& p) { p.threads = 2; }), std::nullopt},
        {"another process", with([](FakeProcess& p) { p.start_time = 1001; }), std::nullopt},
        {"nobody", with([](FakeProcess& p) { p.pid = 101; }), std::nullopt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        add_process(system, row.process);
        CHECK(zombie_status(system, 100, 1000) == row.want);
    }
}

TEST_CASE("has_work: any thread that runs or waits for a CPU or a disk")
{
    const struct {
        const char* threads;
        bool want;
    } rows[] = {{"S", false}, {"SSS", false}, {"R", true},   {"D", true},   {"SSR", true},
                {"SD", true}, {"T", false},   {"SI", false}, {"ZS", false}, {"", false}};
    for (const auto& row : rows) {
        CAPTURE(row.threads);
        ScriptedSystem system;
        pid_t thread = 100;
        for (const char state : std::string{row.threads}) {
            system.files[fmt::format("/proc/100/task/{}/stat", thread)] =
                stat_text({.pid = thread, .state = state});
            ++thread;
        }
        CHECK(has_work(system, 100) == row.want);
    }
    ScriptedSystem system;
    system.fail_always("list directory /proc/100/task", EMFILE);
    CHECK(has_work(system, 100));
}
