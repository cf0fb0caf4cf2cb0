#include "supervisor/engine/waiting.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;

namespace {

/// One wait about some workers, and what came of it.
struct Waited : tests::WaitingMachine {
    std::optional<WaitResult> result;
    std::vector<std::pair<int, std::string>> progress; ///< done so far, status

    static ipc::AppSpec app()
    {
        ipc::AppSpec spec;
        spec.name = "api";
        return spec;
    }

    void ask(const std::vector<Worker*>& workers, Event event, Goal goal)
    {
        Waiting::Wait& wait = waiting.prepare(
            [this](const WaitProgress& now) { progress.emplace_back(now.done, now.status); },
            [this](WaitResult done) { result = std::move(done); });
        for (const Worker* worker : workers)
            waiting.add(wait, *worker, goal);
        for (Worker* worker : workers)
            supervisor.ask(*worker, event, "asked by a test");
        waiting.begin(wait);
    }
    void ask(Worker& worker, Event event, Goal goal) { ask(std::vector{&worker}, event, goal); }

    bool done()
    {
        return until([this] { return result.has_value(); });
    }
    std::string first_failure() const
    {
        return result->failures.empty()
                   ? ""
                   : result->failures[0].stage + ": " + result->failures[0].reason;
    }
};

} // namespace

TEST_CASE("waiting: up is told when the process has come to rest")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.ask(worker, Event::start_asked, Goal::up);
    REQUIRE(w.done());
    CHECK(w.result->ids == std::vector{worker.id});
    CHECK(w.result->failures.empty());
    CHECK(w.progress == std::vector<std::pair<int, std::string>>{{1, "online"}});
    CHECK(worker.life.state == State::online);
}

TEST_CASE("waiting: a process that is busy is up when it has lived for min_uptime")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.ask(worker, Event::start_asked, Goal::up);
    REQUIRE(w.until(worker, State::online));
    const std::string stat = "/proc/" + std::to_string(worker.pid) + "/stat";
    w.system.files[stat] = tests::stat_text({.pid = worker.pid, .state = 'R'});
    for (int turn = 0; turn < 5; ++turn) {
        const auto looks = w.system.count("read " + stat);
        REQUIRE(w.until([&] { return w.system.count("read " + stat) > looks; }));
        CHECK_FALSE(w.result);
    }
    w.clock.advance(worker.spec().min_uptime);
    REQUIRE(w.done());
    CHECK(w.result->failures.empty());
}

TEST_CASE("waiting: a crash while starting is a failure, although it is launched again")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.ask(worker, Event::start_asked, Goal::up);
    REQUIRE(w.until(worker, State::online));
    w.clock.advance(40ms);
    w.launcher.end(worker.pid, {.code = 7, .signal = 0});
    REQUIRE(w.done());
    REQUIRE(w.result->failures.size() == 1);
    CHECK(w.first_failure() == "exit: exited with code 7 after 40 ms");
    CHECK(w.result->failures[0].status == ipc::ExitStatus{.code = 7, .signal = 0});
}

TEST_CASE("waiting: what ends at once is through or has failed, by its exit code")
{
    struct Row {
        const char* what;
        bool autorestart;
        std::vector<int> stop_codes;
        ipc::ExitStatus status;
        std::string failure;
    };
    const Row rows[] = {
        {"a job that succeeds", false, {}, {.code = 0, .signal = 0}, ""},
        {"a job that fails",
         false,
         {},
         {.code = 2, .signal = 0},
         "exit: exited with code 2 after 0 ms"},
        {"a job that is killed",
         false,
         {},
         {.code = 0, .signal = SIGSEGV},
         "exit: killed by SIGSEGV after 0 ms"},
        {"one of stop_exit_codes", true, {4}, {.code = 4, .signal = 0}, ""},
        {"a service that ends with 0",
         true,
         {},
         {.code = 0, .signal = 0},
         "exit: exited with code 0 after 0 ms"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.what);
        Waited w;
        auto spec = w.app();
        spec.autorestart = row.autorestart;
        spec.stop_exit_codes = row.stop_codes;
        Worker& worker = w.add(spec);
        w.ask(worker, Event::start_asked, Goal::up);
        REQUIRE(w.until(worker, State::online));
        w.launcher.end(worker.pid, row.status);
        REQUIRE(w.done());
        CHECK(w.first_failure() == row.failure);
    }
}

TEST_CASE("waiting: what cannot be launched is told with the reason")
{
    Waited w;
    w.launcher.failure = "cannot execute /srv/app: permission denied";
    Worker& worker = w.add(w.app());
    w.ask(worker, Event::start_asked, Goal::up);
    REQUIRE(w.done());
    CHECK(w.first_failure() == "launch: cannot execute /srv/app: permission denied");
    CHECK_FALSE(w.result->failures[0].status);
    CHECK(w.progress == std::vector<std::pair<int, std::string>>{{1, "errored"}});
}

TEST_CASE("waiting: a stop or a delete by somebody else ends a wait for up with a failure")
{
    for (const auto& [event, reason] :
         {std::pair{Event::stop_asked, "stop: stop asked by somebody"},
          std::pair{Event::delete_asked, "stop: delete asked by somebody"}}) {
        CAPTURE(reason);
        Waited w;
        Worker& worker = w.add(w.app());
        w.ask(worker, Event::start_asked, Goal::up);
        REQUIRE(w.until(worker, State::online));
        const pid_t pid = worker.pid;
        w.supervisor.ask(worker, event, std::string{reason}.substr(std::string{"stop: "}.size()));
        w.launcher.end(pid, {.code = 0, .signal = SIGINT});
        REQUIRE(w.done());
        CHECK(w.first_failure() == reason);
    }
}

TEST_CASE("waiting: down is told when the process is gone, not when it is asked")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.bring_up(worker);
    w.ask(worker, Event::stop_asked, Goal::down);
    w.turn();
    CHECK_FALSE(w.result);
    w.launcher.end(worker.pid, {.code = 0, .signal = SIGINT});
    REQUIRE(w.done());
    CHECK(w.result->failures.empty());
    CHECK(w.progress == std::vector<std::pair<int, std::string>>{{1, "stopped"}});
}

TEST_CASE("waiting: gone is told when the row is removed")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.bring_up(worker);
    const int id = worker.id;
    const pid_t pid = worker.pid;
    w.ask(worker, Event::delete_asked, Goal::gone);
    w.turn();
    CHECK_FALSE(w.result);
    w.launcher.end(pid, {.code = 0, .signal = SIGINT});
    REQUIRE(w.done());
    CHECK(w.result->failures.empty());
    CHECK(w.supervisor.find(id) == nullptr);
    CHECK(w.progress == std::vector<std::pair<int, std::string>>{{1, "deleted"}});
}

TEST_CASE("waiting: the end of the old process is no failure of a restart")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.bring_up(worker);
    const pid_t old = worker.pid;
    w.ask(worker, Event::restart_asked, Goal::up);
    w.launcher.end(old, {.code = 0, .signal = SIGINT});
    REQUIRE(w.done());
    CHECK(w.first_failure() == "");
    CHECK(worker.pid != old);
    CHECK(worker.life.state == State::online);
}

TEST_CASE("waiting: what outlives SIGKILL fails every wait about it")
{
    for (const auto& [event, goal] :
         {std::pair{Event::stop_asked, Goal::down}, std::pair{Event::delete_asked, Goal::gone},
          std::pair{Event::restart_asked, Goal::up}}) {
        Waited w;
        auto spec = w.app();
        spec.kill_timeout = 1ms;
        Worker& worker = w.add(spec);
        w.bring_up(worker);
        w.ask(worker, event, goal);
        REQUIRE(w.until([&] { return w.system.kills.size() == 2; }));
        w.clock.advance(5001ms);
        REQUIRE(w.done());
        CHECK(w.first_failure() == "stop: still runs after SIGKILL");
    }
}

TEST_CASE("waiting: what is there already is answered at once, also for nobody")
{
    Waited w;
    Worker& worker = w.add(w.app());
    w.ask(worker, Event::stop_asked, Goal::down);
    REQUIRE(w.done());
    CHECK(w.result->failures.empty());
    w.result.reset();
    w.ask(std::vector<Worker*>{}, Event::start_asked, Goal::up);
    REQUIRE(w.done());
    CHECK(w.result->ids.empty());
}

TEST_CASE("waiting: of several, each counts, and the failures stand beside the others")
{
    Waited w;
    Worker& good = w.add(w.app(), 0);
    Worker& bad = w.add(w.app(), 1);
    w.ask({&good, &bad}, Event::start_asked, Goal::up);
    REQUIRE(w.until([&] { return good.pid != 0 && bad.pid != 0; }));
    w.launcher.end(bad.pid, {.code = 1, .signal = 0});
    REQUIRE(w.done());
    CHECK(w.result->ids == std::vector{good.id, bad.id});
    REQUIRE(w.result->failures.size() == 1);
    CHECK(w.result->failures[0].id == bad.id);
    CHECK(w.progress.size() == 2);
    CHECK(w.progress.back().first == 2);
}
