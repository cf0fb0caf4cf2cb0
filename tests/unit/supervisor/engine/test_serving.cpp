// Whether one process serves, as one manager learns it and the next one goes on with it. What is
// asked and answered is in test_prober.cpp.
#include "supervisor/engine/serving.hpp"

#include "ipc/base/notify.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;
using cluster::tests::run_until;
using nlohmann::json;

namespace {

class NoLauncher final : public Launcher {
public:
    std::expected<Launched, LaunchFailure> launch(const LaunchPlan& /*plan*/) override
    {
        return std::unexpected(LaunchFailure{.stage = "exec", .error = ENOENT, .text = "none"});
    }
};

/// One process and its managers, of which the last one runs.
struct Fixture {
    tests::ManualClock clock;
    tests::FakeKeeper keeper;
    ipc::LinuxSystem system;
    NoLauncher launcher;
    std::shared_ptr<ipc::AppSpec> spec = std::make_shared<ipc::AppSpec>();
    std::vector<std::string> calls;
    json last; ///< what was written down
    std::vector<std::unique_ptr<boost::asio::io_context>> loops;
    std::vector<std::unique_ptr<Serving>> servings; ///< behind the loops: they go first

    Serving& begin()
    {
        loops.push_back(std::make_unique<boost::asio::io_context>(1));
        const auto at = servings.size();
        servings.push_back(std::make_unique<Serving>(
            *loops.back(), clock, keeper, spec,
            Serving::Calls{
                .ready = [this] { calls.emplace_back("ready"); },
                .overdue = [this](const std::string& why) { calls.push_back("overdue: " + why); },
                .sick = [this](const std::string& why) { calls.push_back("sick: " + why); },
                .changed = [this, at] { last = servings[at]->saved(); }}));
        return *servings.back();
    }
    Serving::Means means()
    {
        const auto none = []() -> ipc::Result<ipc::UniqueFd> {
            return ipc::fail(ECONNREFUSED, "");
        };
        const auto plan = [](const std::vector<std::string>&) { return LaunchPlan{}; };
        const ProbeMeans means{.dial = none,
                               .host_header = "",
                               .plan_command = plan,
                               .launcher = launcher,
                               .system = system};
        return {.ready = means, .health = means};
    }
    Serving& start(bool must_listen = false)
    {
        Serving& serving = begin();
        const auto opened = serving.open_notify_socket(::geteuid());
        REQUIRE(opened);
        address = *opened;
        serving.start(means(), must_listen);
        return serving;
    }
    /// The manager is killed (it is never run again), and the next one goes on.
    ipc::Result<void> resume(const json& saved, bool is_ready, bool must_listen = false,
                             bool heard = true)
    {
        KeptFds kept = keeper.hand_over();
        return begin().resume(saved, kept, means(), must_listen, is_ready, heard);
    }
    bool until(const std::string& call)
    {
        return run_until(*loops.back(), [&] { return !calls.empty() && calls.back() == call; });
    }
    void settle()
    {
        loops.back()->restart();
        while (loops.back()->poll() > 0)
            loops.back()->restart();
    }

    std::string address;
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "serving: what was said is written down, and the rest is waited for")
{
    spec->wait_ready = true;
    start(true);
    CHECK(last["message"] == true);
    CHECK(last["listening"] == true);
    servings.back()->listens();
    CHECK(last["listening"] == false);
    REQUIRE(resume(last, false));
    settle();
    CHECK(calls.empty());
    REQUIRE(ipc::notify(address, "READY=1"));
    CHECK(until("ready"));
    CHECK(last["message"] == false);
}

TEST_CASE_FIXTURE(Fixture, "serving: ready is told by the next manager, unless it was")
{
    spec->wait_ready = true;
    start();
    servings.back()->said_ready(); // killed before `ready` was told
    SUBCASE("it was not")
    {
        REQUIRE(resume(last, false));
        CHECK(until("ready"));
    }
    SUBCASE("it was")
    {
        REQUIRE(resume(last, true));
        settle();
        servings.back()->said_ready();
        settle();
        CHECK(calls.empty());
    }
}

TEST_CASE_FIXTURE(Fixture, "serving: the time that a process has waited counts")
{
    spec->wait_ready = true;
    spec->listen_timeout = 1h;
    start();
    const json saved = last;
    SUBCASE("there is some left")
    {
        clock.advance(59min);
        REQUIRE(resume(saved, false));
        settle();
        CHECK(calls.empty());
    }
    SUBCASE("it was over meanwhile")
    {
        clock.advance(61min);
        REQUIRE(resume(saved, false));
        CHECK(until("overdue: it has not said that it is ready"));
        REQUIRE(ipc::notify(address, "READY=1"));
        CHECK(until("ready"));
    }
    SUBCASE("it had asked for more")
    {
        REQUIRE(ipc::notify(address, "EXTEND_TIMEOUT_USEC=7200000000")); // two hours
        CHECK(run_until(*loops.back(), [&] { return last != saved; }));
        clock.advance(61min);
        REQUIRE(resume(last, false));
        settle();
        CHECK(calls.empty());
    }
}

TEST_CASE_FIXTURE(Fixture, "serving: a process that was launched and not heard of begins to wait")
{
    spec->wait_ready = true;
    Serving& serving = begin();
    const auto opened = serving.open_notify_socket(::geteuid());
    REQUIRE(opened);
    const json saved = serving.saved(); // killed before `start`
    REQUIRE(ipc::notify(*opened, "READY=1"));
    REQUIRE(resume(saved, false, true));
    settle();
    CHECK(calls.empty());
    servings.back()->listens();
    CHECK(until("ready"));
}

TEST_CASE_FIXTURE(Fixture, "serving: the watchdog goes on with a fresh interval")
{
    spec->wait_ready = true;
    spec->watchdog = 50ms;
    start();
    const json before = last;
    servings.back()->said_ready();
    SUBCASE("of one that is ready")
    {
        REQUIRE(resume(last, true));
        CHECK(until("sick: watchdog: no WATCHDOG=1 for 50 ms"));
        CHECK(calls.size() == 1);
    }
    SUBCASE("not of one that is not")
    {
        REQUIRE(resume(before, false));
        REQUIRE(ipc::notify(address, "STATUS=warming up"));
        CHECK(run_until(*loops.back(), [&] { return servings.back()->status() == "warming up"; }));
        CHECK(calls.empty());
    }
}

TEST_CASE_FIXTURE(Fixture, "serving: probes begin anew, the ready one where it is still waited for")
{
    spec->ready.emplace().kind = ipc::Probe::Kind::log;
    ipc::Probe& health = spec->health.emplace();
    health.kind = ipc::Probe::Kind::tcp;
    health.interval = 1ms;
    health.failures = 2;
    start();
    CHECK(last["answer"] == true);
    SUBCASE("is not ready")
    {
        REQUIRE(resume(last, false));
        settle();
        CHECK(calls.empty());
        CHECK(servings.back()->health() == "starting");
    }
    SUBCASE("is ready")
    {
        REQUIRE(resume(last, true));
        CHECK(run_until(*loops.back(), [&] { return !calls.empty(); }));
        CHECK(calls.back().starts_with("sick: health: failing (2 of 2)"));
    }
}

TEST_CASE_FIXTURE(Fixture, "serving: what may have been said to nobody is not waited for")
{
    spec->wait_ready = true;
    for (const bool started : {false, true}) {
        CAPTURE(started);
        calls.clear();
        Serving& serving = begin();
        REQUIRE(serving.open_notify_socket(::geteuid()));
        if (started) serving.start(means(), false);
        REQUIRE(resume(serving.saved(), false, false, false));
        CHECK(until("ready"));
    }
}

TEST_CASE_FIXTURE(Fixture, "serving: its status is known to the next manager")
{
    spec->wait_ready = true;
    start();
    REQUIRE(ipc::notify(address, "READY=1\nSTATUS=at your service"));
    CHECK(until("ready"));
    REQUIRE(resume(last, true));
    CHECK(servings.back()->status() == "at your service");
}

TEST_CASE_FIXTURE(Fixture, "serving: where its socket cannot be had, all else goes on")
{
    spec->wait_ready = true;
    start();
    json saved = last;
    saved["notify"]["inode"] = 1; // and the name is taken
    CHECK_FALSE(resume(saved, false));
    servings.back()->said_ready(); // by Node's channel
    CHECK(until("ready"));
}

TEST_CASE_FIXTURE(Fixture, "serving: what is nothing that was saved is refused")
{
    spec->wait_ready = true;
    start();
    const struct {
        const char* at;
        json value;
    } rows[] = {{"", nullptr},        {"", json::array()},  {"", "x"},
                {"/message", 1},      {"/answer", "x"},     {"/listening", json::array()},
                {"/ready_by", "x"},   {"/ready_by", 1e300}, {"/started_at", json::object()},
                {"/notify", 1},       {"/status", 1},       {"/notify/address", 1},
                {"/notify/uid", "x"}, {"/notify", {}}};
    for (const auto& row : rows) {
        CAPTURE(row.at);
        json bad = last;
        bad[json::json_pointer{row.at}] = row.value;
        CHECK_FALSE(resume(bad, false));
    }
}
