// Whichever system call fails, and with whatever the kernel says: what was asked fails with a
// reason or works, what ran is not lost, the next request works, and the journal says what is.
#include "tests/unit/supervisor/daemon/journaled.hpp"
#include "tests/unit/supervisor/engine/heir.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;
using cluster::tests::Journaled;

namespace {

/// What users do with an app, from its start to its end.
struct Life : Journaled {
    std::vector<Worker*> workers;

    Life()
    {
        begin();
        for (int instance = 0; instance < 2; ++instance) {
            auto spec = app();
            spec.kill_timeout = 5ms;
            spec.listen = {{.text = "127.0.0.1:0", .name = "api"}};
            workers.push_back(&add(std::move(spec), instance));
        }
        turn();
    }

    /// Processes end when they are told to.
    bool comes(const std::function<bool()>& condition)
    {
        return until([&] {
            for (const auto& [pid, signal] : std::exchange(system.kills, {}))
                if (system.alive.contains(pid)) launcher.end(pid, {.code = 0, .signal = signal});
            return condition();
        });
    }
    /// It is up, if need be after a second request: whatever failed has not failed for good.
    void needs_up(Worker& worker)
    {
        REQUIRE(comes([&] { return worker.life.state == State::online || worker.at_rest(); }));
        if (worker.life.state == State::online) return;
        CHECK_FALSE(worker.launch_fault.empty()); // what `start` answers
        supervisor.ask(worker, Event::start_asked, "again");
        REQUIRE(comes([&] { return worker.life.state == State::online; }));
    }
    void live()
    {
        for (Worker* worker : workers)
            supervisor.ask(*worker, Event::start_asked, "start");
        for (Worker* worker : workers)
            needs_up(*worker);
        const pid_t other = workers[1]->pid;
        const pid_t crashed = workers[0]->pid;
        launcher.end(crashed, {.code = 1, .signal = 0});
        REQUIRE(comes([&] { return workers[0]->pid != crashed; }));
        needs_up(*workers[0]);
        CHECK(workers[1]->pid == other);

        supervisor.ask(*workers[0], Event::restart_asked, "restart");
        const pid_t before = workers[0]->pid;
        REQUIRE(comes([&] { return workers[0]->pid != before; }));
        needs_up(*workers[0]);
        CHECK(workers[1]->pid == other);

        supervisor.ask(*workers[0], Event::stop_asked, "stop");
        REQUIRE(comes([&] { return workers[0]->at_rest(); }));
        CHECK(system.alive.contains(other));
        CHECK(workers[1]->life.state == State::online);
        turn();
        CHECK(written() == now());
    }
};

} // namespace

TEST_CASE("failing calls: whichever one of a worker's life fails, it goes on, and nobody is lost")
{
    for (const int error : {EIO, EMFILE, ENOSPC, ENOMEM}) {
        for (int nth = 1;; ++nth) {
            CAPTURE(error);
            CAPTURE(nth);
            Life life;
            life.system.fail_nth(nth, error);
            life.live();
            if (life.system.has_failed()) continue;
            CHECK(nth > 60); // the life above makes more calls than that
            break;
        }
    }
}

TEST_CASE("failing calls: whichever launch fails, the next one works")
{
    for (int nth = 0; nth < 4; ++nth) {
        CAPTURE(nth);
        Life life;
        int launches = 0;
        life.launcher.on_launch = [&] {
            life.launcher.failure = launches++ == nth ? "cannot make a process: try again" : "";
        };
        life.live();
        CHECK(launches == 5); // two starts, a restart after a crash, one asked for, and once more
    }
}

TEST_CASE("failing calls: whichever one of taking over fails, the process is ours, and ends once")
{
    for (const int error : {EIO, EMFILE, ENOMEM}) {
        for (int nth = 1;; ++nth) {
            CAPTURE(error);
            CAPTURE(nth);
            tests::Heir m;
            m.has_process();
            m.system.fail_nth(nth, error);
            Worker& worker = m.adopt(m.known(State::online));
            m.supervisor.resume(0ms);
            m.turn();
            CHECK(worker.life.state == State::online);
            CHECK(worker.pid == tests::kPid);
            CHECK(m.launcher.plans.empty());
            m.ends();
            m.supervisor.on_ended(tests::kPid, tests::kStart, {.code = 1, .signal = 0});
            REQUIRE(m.until(
                [&] { return worker.pid != tests::kPid && worker.alive() != worker.at_rest(); }));
            if (worker.at_rest()) {
                CHECK_FALSE(worker.launch_fault.empty());
                m.supervisor.ask(worker, Event::start_asked, "again");
            }
            REQUIRE(m.until([&] { return m.launcher.plans.size() == 1 && worker.alive(); }));
            CHECK(worker.exits.size() == 1);
            if (m.system.has_failed()) continue;
            CHECK(nth > 5);
            break;
        }
    }
}
