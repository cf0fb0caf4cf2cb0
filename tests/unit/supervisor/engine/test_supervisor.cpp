#include "supervisor/engine/supervisor.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;
using cluster::tests::Machine;

namespace {

ipc::AppSpec app(std::string name = "api")
{
    ipc::AppSpec spec;
    spec.name = std::move(name);
    return spec;
}

bool launched(Machine& m, Worker& worker)
{
    m.supervisor.ask(worker, Event::start_asked, "test");
    return m.until(worker, State::online);
}

} // namespace

TEST_CASE("supervisor: a started worker is online, with a pid file, and its end is recorded")
{
    Machine m;
    auto spec = app();
    spec.autorestart = false;
    Worker& worker = m.add(spec);
    REQUIRE(launched(m, worker));
    CHECK(worker.pid > 0);
    CHECK(m.system.files[worker.pid_path] == std::to_string(worker.pid));
    m.clock.advance(1500ms);
    m.launcher.end(worker.pid, {.code = 3, .signal = 0});
    REQUIRE(m.until(worker, State::stopped));
    CHECK(worker.pid == 0);
    REQUIRE(worker.exits.size() == 1);
    CHECK(worker.exits[0].reason == "exited with code 3 after 1500 ms");
    CHECK(worker.exits[0].uptime == 1500ms);
    CHECK(m.until([&] { return !m.system.files.contains(worker.pid_path); }));
}

TEST_CASE("supervisor: a program that cannot be executed is errored and never tried again")
{
    Machine m;
    m.launcher.failure = "cannot execute /srv/app: no such file or directory";
    Worker& worker = m.add(app());
    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until(worker, State::errored));
    CHECK(worker.launch_fault == m.launcher.failure);
    m.turn();
    m.turn();
    CHECK(m.launcher.plans.size() == 1);
    CHECK(worker.life.restarts == 0);

    m.launcher.failure.clear(); // asked again, it may work
    CHECK(launched(m, worker));
    CHECK(worker.launch_fault.empty());
}

TEST_CASE("supervisor: what cannot be executed for now is tried again, and told once")
{
    for (const int error : {EMFILE, ENFILE, ENOMEM, EAGAIN, ETXTBSY}) {
        CAPTURE(error);
        Machine m;
        m.launcher.failure = "cannot start /srv/app: not now";
        m.launcher.error = error;
        Worker& worker = m.add(app());
        m.supervisor.ask(worker, Event::start_asked, "test");
        REQUIRE(m.until(worker, State::waiting_restart));
        CHECK(worker.launch_fault == m.launcher.failure);
        REQUIRE(m.until([&] { return m.launcher.plans.size() == 2; }));
        CHECK(worker.launch_fault == m.launcher.failure);
        CHECK(std::ranges::count_if(m.log.lines, [&](const std::string& line) {
                  return line.contains(m.launcher.failure);
              }) == 1);

        m.launcher.failure.clear();
        CHECK(launched(m, worker));
        CHECK(worker.launch_fault.empty());
    }
}

TEST_CASE("supervisor: nobody starts again what autorestart leaves alone, or what was stopped")
{
    Machine m;
    m.launcher.failure = "cannot start /srv/app: not now";
    m.launcher.error = EMFILE;
    auto spec = app();
    spec.autorestart = false;
    Worker& left = m.add(spec);
    m.supervisor.ask(left, Event::start_asked, "test");
    REQUIRE(m.until(left, State::errored));

    Worker& stopped = m.add(app());
    m.supervisor.ask(stopped, Event::start_asked, "test");
    REQUIRE(m.until(stopped, State::waiting_restart));
    m.supervisor.ask(stopped, Event::stop_asked, "test");
    REQUIRE(m.until(stopped, State::stopped));
}

TEST_CASE("supervisor: a log that cannot be opened is a launch failure that names the file")
{
    Machine m;
    auto spec = app();
    spec.out_file = "/full/out.log";
    m.system.fail_always("open /full", ENOSPC);
    Worker& worker = m.add(spec);
    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until(worker, State::errored));
    CHECK(worker.launch_fault == "open /full/out.log: no space left on device");
    CHECK(m.launcher.plans.empty());
}

TEST_CASE("supervisor: a pid file that cannot be written stops nothing")
{
    Machine m;
    auto spec = app();
    spec.pid_file = "/full/api.pid";
    m.system.fail_always("open /full", ENOSPC);
    Worker& worker = m.add(spec);
    CHECK(launched(m, worker));
    CHECK(std::ranges::any_of(m.log.lines, [](const std::string& line) {
        return line.starts_with("pid file: ") && line.contains("/full/api");
    }));
}

TEST_CASE("supervisor: a stop right behind the start leaves no process")
{
    Machine m;
    Worker& worker = m.add(app());
    m.supervisor.ask(worker, Event::start_asked, "test");
    m.supervisor.ask(worker, Event::stop_asked, "test");
    // Whether or not its turn to be launched had come: what was launched is asked to end.
    if (worker.pid != 0) {
        CHECK(m.system.kills == std::vector<std::pair<pid_t, int>>{{worker.pid, SIGINT}});
        m.launcher.end(worker.pid, {.code = 0, .signal = SIGINT});
    }
    REQUIRE(m.until(worker, State::stopped));
    m.turn();
    CHECK(worker.pid == 0);
    CHECK(worker.life.state == State::stopped);
}

TEST_CASE("supervisor: what is deaf to its kill signal gets SIGKILL after kill_timeout")
{
    Machine m;
    auto spec = app();
    spec.kill_signal = SIGTERM;
    spec.kill_timeout = 10ms;
    Worker& worker = m.add(spec);
    REQUIRE(launched(m, worker));
    const pid_t pid = worker.pid;
    m.supervisor.ask(worker, Event::stop_asked, "test");
    m.turn();
    CHECK(m.system.kills == std::vector<std::pair<pid_t, int>>{{pid, SIGTERM}});
    REQUIRE(m.until([&] { return m.system.kills.size() == 2; }));
    CHECK(m.system.kills.back() == std::pair{pid, SIGKILL});
    m.launcher.end(pid, {.code = 0, .signal = SIGKILL});
    CHECK(m.until(worker, State::stopped));
}

TEST_CASE("supervisor: a worker is stopped also when /proc cannot be read for want of descriptors")
{
    for (const bool treekill : {true, false}) {
        Machine m;
        auto spec = app();
        spec.treekill = treekill;
        spec.kill_timeout = 10ms;
        Worker& worker = m.add(spec);
        REQUIRE(launched(m, worker));
        const pid_t pid = worker.pid;
        m.system.fail_always("read /proc", EMFILE);
        m.system.fail_always("list directory /proc", EMFILE);
        m.supervisor.ask(worker, Event::stop_asked, "test");
        m.turn();
        CHECK(m.system.kills == std::vector<std::pair<pid_t, int>>{{pid, SIGINT}});
        REQUIRE(m.until([&] { return m.system.kills.size() == 2; }));
        CHECK(m.system.kills.back() == std::pair{pid, SIGKILL});
        // It counts as unkillable at last, rather than being waited for for ever.
        m.clock.advance(5001ms);
        CHECK(m.until(worker, State::errored));
    }
}

TEST_CASE("supervisor: what outlives SIGKILL by five seconds is errored, whatever was to follow")
{
    Machine m;
    auto spec = app();
    spec.kill_timeout = 1ms;
    Worker& worker = m.add(spec);
    REQUIRE(launched(m, worker));
    m.supervisor.ask(worker, Event::restart_asked, "test");
    REQUIRE(m.until([&] { return m.system.kills.size() == 2; }));
    m.clock.advance(5001ms);
    REQUIRE(m.until(worker, State::errored));
    CHECK(m.launcher.plans.size() == 1);
}

TEST_CASE("supervisor: what ended when we were too busy to hear of it is not taken for unkillable")
{
    Machine m;
    auto spec = app();
    spec.kill_timeout = 1ms;
    Worker& worker = m.add(spec);
    REQUIRE(launched(m, worker));
    const pid_t pid = worker.pid;
    m.supervisor.ask(worker, Event::restart_asked, "test");
    REQUIRE(m.until([&] { return m.system.kills.size() == 2; }));
    remove_process(m.system, pid);
    const auto looks = m.system.count("list directory /proc");
    m.clock.advance(5001ms);
    REQUIRE(m.until([&] { return m.system.count("list directory /proc") > looks; }));
    CHECK(worker.life.state == State::stopping);
    m.launcher.end(pid, {.code = 0, .signal = SIGKILL});
    CHECK(m.until([&] { return m.launcher.plans.size() == 2; }));
}

TEST_CASE("supervisor: no worker has two processes, whatever is asked while it ends")
{
    Machine m;
    Worker& worker = m.add(app());
    REQUIRE(launched(m, worker));
    const pid_t first = worker.pid;
    for (const Event event :
         {Event::restart_asked, Event::start_asked, Event::stop_asked, Event::restart_asked})
        m.supervisor.ask(worker, event, "test");
    m.turn();
    CHECK(m.launcher.plans.size() == 1);
    m.launcher.end(first, {.code = 0, .signal = SIGINT});
    REQUIRE(m.until(worker, State::online));
    CHECK(m.launcher.plans.size() == 2);
    CHECK(worker.pid != first);
}

TEST_CASE("supervisor: a worker that crashes is launched again and the restart is counted")
{
    Machine m;
    Worker& worker = m.add(app());
    REQUIRE(launched(m, worker));
    m.launcher.end(worker.pid, {.code = 1, .signal = 0});
    REQUIRE(m.until([&] { return m.launcher.plans.size() == 2; }));
    CHECK(m.until(worker, State::online));
    CHECK(worker.life.restarts == 1);
    const auto marker = [](const LaunchPlan& plan) {
        return *std::ranges::find_if(plan.environment, [](const std::string& entry) {
            return entry.starts_with("unique_id=");
        });
    };
    CHECK(marker(m.launcher.plans[0]) == marker(m.launcher.plans[1]));
}

TEST_CASE("supervisor: the names of log and pid files")
{
    const std::string logs = "/home/u/.clusterctl/logs/";
    const std::string pids = "/home/u/.clusterctl/pids/";
    struct Row {
        const char* what;
        std::string name;
        std::optional<ipc::Instances> instances;
        std::optional<bool> merge;
        std::string out_file, pid_file;
        std::string out, err, pid;
    };
    const ipc::Instances two{.relative = false, .count = 2};
    const Row rows[] = {
        {"one without instances",
         "api",
         {},
         {},
         "",
         "",
         logs + "api-out.log",
         logs + "api-error.log",
         pids + "api-7.pid"},
        {"instances: a file each",
         "api",
         two,
         {},
         "",
         "",
         logs + "api-out-7.log",
         logs + "api-error-7.log",
         pids + "api-7.pid"},
        {"instances, merged", "api", two, true, "", "", logs + "api-out.log",
         logs + "api-error.log", pids + "api-7.pid"},
        {"no instances, not merged",
         "api",
         {},
         false,
         "",
         "",
         logs + "api-out-7.log",
         logs + "api-error-7.log",
         pids + "api-7.pid"},
        {"an odd name",
         "my app: ü",
         {},
         {},
         "",
         "",
         logs + "my-app-----out.log",
         logs + "my-app-----error.log",
         pids + "my-app-----7.pid"},
        {"given paths",
         "api",
         two,
         {},
         "/var/a.log",
         "/run/a.pid",
         "/var/a-7.log",
         logs + "api-error-7.log",
         "/run/a-7.pid"},
        {"given without .log",
         "api",
         two,
         {},
         "/dev/null",
         "/run/a",
         "/dev/null",
         logs + "api-error-7.log",
         "/run/a"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Machine m;
        m.supervisor.set_next_id(7);
        auto spec = app(row.name);
        spec.instances = row.instances;
        spec.merge_logs = row.merge;
        spec.out_file = row.out_file;
        spec.pid_file = row.pid_file;
        const Worker& worker = m.add(spec);
        CHECK(worker.out_path == row.out);
        CHECK(worker.err_path == row.err);
        CHECK(worker.pid_path == row.pid);
    }
}

TEST_CASE("supervisor: what is launched is the script, or its interpreter with the script")
{
    struct Row {
        std::string interpreter;
        std::vector<std::string> argv;
    };
    const Row rows[] = {
        {"", {"/srv/app", "-p", "a b"}},
        {"none", {"/srv/app", "-p", "a b"}},
        {"/usr/bin/node", {"/usr/bin/node", "--inspect", "/srv/app", "-p", "a b"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.interpreter);
        Machine m;
        auto spec = app();
        spec.interpreter = row.interpreter;
        spec.interpreter_args = {"--inspect"};
        spec.args = {"-p", "a b"};
        spec.env = {{"COLOUR", "red"}};
        REQUIRE(launched(m, m.add(spec)));
        const LaunchPlan& plan = m.launcher.plans.at(0);
        CHECK(plan.argv == row.argv);
        CHECK(plan.program == row.argv[0]);
        CHECK(plan.cwd == "/srv");
        CHECK(std::ranges::count(plan.environment, "COLOUR=red") == 1);
        CHECK(std::ranges::count(plan.environment, "USER=u") == 1);
        // A Node program has a channel to us, as under PM2.
        const bool node = row.interpreter.ends_with("node");
        CHECK(plan.fds.size() == (node ? 5 : 3));
        CHECK(std::ranges::count(plan.environment, "NODE_CHANNEL_FD=3") == (node ? 1 : 0));
    }
}

TEST_CASE("supervisor: over its memory limit a worker is restarted, children counted")
{
    Machine m;
    auto spec = app();
    spec.max_memory_restart = 100U << 20U;
    Worker& worker = m.add(spec);
    REQUIRE(launched(m, worker));
    const pid_t pid = worker.pid;
    const auto pages = (101UL << 20U) / static_cast<unsigned long>(::sysconf(_SC_PAGESIZE));
    tests::add_process(m.system, {.pid = pid + 1000, .parent = pid, .pages = pages});
    m.clock.advance(1000ms);
    REQUIRE(m.until(worker, State::stopping));
    CHECK(worker.cause.starts_with("memory limit: "));
    m.system.alive.insert(pid + 1000);
    tests::remove_process(m.system, pid + 1000);
    m.launcher.end(pid, {.code = 0, .signal = SIGINT});
    REQUIRE(m.until(worker, State::online));
    CHECK(worker.life.restarts == 1);
}

TEST_CASE("supervisor: ids count up, and start over with an empty table")
{
    Machine m;
    CHECK(m.add(app("a")).id == 0);
    CHECK(m.add(app("b")).id == 1);
    m.supervisor.ask(*m.supervisor.find(0), Event::delete_asked, "test");
    CHECK(m.supervisor.find(0) == nullptr);
    CHECK(m.add(app("c")).id == 2);
    for (const int id : {1, 2})
        m.supervisor.ask(*m.supervisor.find(id), Event::delete_asked, "test");
    CHECK(m.add(app("d")).id == 0);
}
