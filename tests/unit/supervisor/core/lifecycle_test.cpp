#include "supervisor/core/lifecycle.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::supervisor { // Effect::remove would collide with ::remove
namespace {

using namespace std::chrono_literals;
using ipc::AppSpec;
using enum State;
using enum Event;
using enum Effect;

constexpr After nothing = After::nothing;
constexpr After then_start = After::start;
constexpr After then_remove = After::remove;

constexpr std::array kStates{stopped, launching, online, stopping, waiting_restart, errored};
constexpr std::array kEvents{start_asked,     stop_asked, restart_asked, delete_asked, spawn_failed,
                             spawn_postponed, ready,      gone,          timer_fired,  unkillable};

/// A worker with a past, so that every counter a step touches shows.
Lifecycle worker(State state, After after = nothing)
{
    return {.state = state,
            .after = after,
            .restarts = 5,
            .unstable_restarts = 3,
            .previous_delay = 225ms};
}

struct Row {
    State from;
    After pending;
    Event on;
    State to;
    After after;
    Effect effect;
    int restarts = 5;
    bool fresh = false; ///< quick exits and back-off forgotten
};

} // namespace

TEST_CASE("lifecycle: each row is one transition, and every other pair changes nothing")
{
    // clang-format off
    const Row rows[] = {
        {stopped, nothing, start_asked, launching, nothing, spawn, 5, true},
        {stopped, nothing, restart_asked, launching, nothing, spawn, 5, true},
        {stopped, nothing, delete_asked, stopped, nothing, Effect::remove},
        {errored, nothing, start_asked, launching, nothing, spawn, 5, true},
        {errored, nothing, restart_asked, launching, nothing, spawn, 5, true},
        {errored, nothing, stop_asked, stopped, nothing, none},
        {errored, nothing, delete_asked, stopped, nothing, Effect::remove},
        {waiting_restart, nothing, start_asked, launching, nothing, spawn, 5, true},
        {waiting_restart, nothing, restart_asked, launching, nothing, spawn, 5, true},
        {waiting_restart, nothing, stop_asked, stopped, nothing, none},
        {waiting_restart, nothing, delete_asked, stopped, nothing, Effect::remove},
        {waiting_restart, nothing, timer_fired, launching, nothing, spawn, 6},
        {launching, nothing, ready, online, nothing, none},
        {launching, nothing, spawn_failed, errored, nothing, none},
        {launching, nothing, spawn_postponed, waiting_restart, nothing, wait_then_timer},
        {launching, nothing, stop_asked, stopping, nothing, ask_then_timer},
        {launching, nothing, restart_asked, stopping, then_start, ask_then_timer, 6, true},
        {launching, nothing, delete_asked, stopping, then_remove, ask_then_timer},
        {launching, nothing, gone, launching, nothing, spawn, 6},
        {launching, nothing, unkillable, errored, nothing, none},
        {online, nothing, stop_asked, stopping, nothing, ask_then_timer},
        {online, nothing, restart_asked, stopping, then_start, ask_then_timer, 6, true},
        {online, nothing, delete_asked, stopping, then_remove, ask_then_timer},
        {online, nothing, gone, launching, nothing, spawn, 6},
        {online, nothing, unkillable, errored, nothing, none},
        {stopping, nothing, start_asked, stopping, then_start, none, 5, true},
        {stopping, nothing, restart_asked, stopping, then_start, none, 5, true},
        {stopping, nothing, delete_asked, stopping, then_remove, none},
        {stopping, nothing, timer_fired, stopping, nothing, kill_tree},
        {stopping, nothing, gone, stopped, nothing, none},
        {stopping, nothing, unkillable, errored, nothing, none},
        {stopping, then_start, stop_asked, stopping, nothing, none},
        {stopping, then_start, delete_asked, stopping, then_remove, none},
        {stopping, then_start, timer_fired, stopping, then_start, kill_tree},
        {stopping, then_start, gone, launching, nothing, spawn},
        {stopping, then_start, unkillable, errored, nothing, none},
        {stopping, then_remove, timer_fired, stopping, then_remove, kill_tree},
        {stopping, then_remove, gone, stopped, nothing, Effect::remove},
        {stopping, then_remove, unkillable, errored, nothing, none},
    };
    // clang-format on
    const AppSpec spec;
    const Gone after_a_minute{.status = {}, .uptime = 60s, .since_created = 1h};
    for (const State from : kStates) {
        for (const After pending : {nothing, then_start, then_remove}) {
            if (from != stopping && pending != nothing) continue;
            for (const Event event : kEvents) {
                CAPTURE(name_of(from));
                CAPTURE(static_cast<int>(pending));
                CAPTURE(name_of(event));
                const Lifecycle now = worker(from, pending);
                Step want{now, none, 0ms};
                for (const Row& row : rows) {
                    if (row.from != from || row.pending != pending || row.on != event) continue;
                    want.next.state = row.to;
                    want.next.after = row.after;
                    want.next.restarts = row.restarts;
                    if (row.fresh) want.next.unstable_restarts = 0;
                    if (row.fresh) want.next.previous_delay = 0ms;
                    want.effect = row.effect;
                    if (row.on == spawn_postponed) want.delay = 1s;
                }
                CHECK(step(now, event, spec, after_a_minute) == want);
            }
        }
    }
}

TEST_CASE("lifecycle: a launch that may work later is tried for ever, unless nothing is restarted")
{
    AppSpec spec;
    Lifecycle now{.state = launching, .after = nothing};
    for (int tries = 1; tries <= 100; ++tries) { // more than max_restarts
        const Step postponed = step(now, spawn_postponed, spec, {});
        REQUIRE(postponed.next.state == waiting_restart);
        CHECK(postponed.delay == 1s);
        CHECK(postponed.next.unstable_restarts == 0);
        now = step(postponed.next, timer_fired, spec, {}).next;
        REQUIRE(now.state == launching);
    }
    spec.autorestart = false;
    const Step given_up = step(now, spawn_postponed, spec, {});
    CHECK(given_up.next.state == errored);
    CHECK(given_up.effect == none);
}

namespace {

struct Policy {
    AppSpec spec;
    Policy& set(auto AppSpec::* member, auto value)
    {
        spec.*member = value;
        return *this;
    }
};

} // namespace

TEST_CASE("restart policy: each row is one exit by itself")
{
    const Gone quick{.status = {.code = 1}, .uptime = 10ms, .since_created = 10ms};
    const Gone quick_late{.status = {.code = 1}, .uptime = 10ms, .since_created = 16s};
    const Gone long_lived{.status = {.code = 1}, .uptime = 1s, .since_created = 1s};
    const Gone killed{.status = {.signal = 9}, .uptime = 60s, .since_created = 60s};
    const Gone well{.status = {.code = 0}, .uptime = 60s, .since_created = 60s};
    const auto backoff = [] { return Policy{}.set(&AppSpec::exp_backoff_restart_delay, 100ms); };
    const struct {
        const char* name;
        Policy policy;
        Lifecycle from;
        Gone how;
        Step want;
    } rows[] = {
        {"a long life restarts at once", {}, {online}, well, {{launching, nothing, 1}, spawn}},
        {"a quick exit counts", {}, {online}, quick, {{launching, nothing, 1, 1}, spawn}},
        {"also before it was online", {}, {launching}, quick, {{launching, nothing, 1, 1}, spawn}},
        {"min_uptime itself is not quick",
         {},
         {online},
         long_lived,
         {{launching, nothing, 1}, spawn}},
        {"outside the window nothing counts",
         {},
         {online, nothing, 0, 7},
         quick_late,
         {{launching, nothing, 1, 7}, spawn}},
        {"a long life forgives nothing",
         {},
         {online, nothing, 0, 7},
         well,
         {{launching, nothing, 1, 7}, spawn}},
        {"the 16th quick exit is the last",
         {},
         {online, nothing, 15, 15},
         quick,
         {{errored, nothing, 15, 0}, none}},
        {"max_restarts 0 never restarts",
         Policy{}.set(&AppSpec::max_restarts, 0),
         {online},
         well,
         {{errored}, none}},
        {"autorestart off stops",
         Policy{}.set(&AppSpec::autorestart, false),
         {online},
         quick,
         {{stopped}, none}},
        {"a stop exit code stops",
         Policy{}.set(&AppSpec::stop_exit_codes, std::vector{3, 1}),
         {online},
         quick,
         {{stopped}, none}},
        {"another exit code restarts",
         Policy{}.set(&AppSpec::stop_exit_codes, std::vector{3}),
         {online},
         well,
         {{launching, nothing, 1}, spawn}},
        {"death by a signal is no exit code 0",
         Policy{}.set(&AppSpec::stop_exit_codes, std::vector{0}),
         {online},
         killed,
         {{launching, nothing, 1}, spawn}},
        {"a fixed delay waits",
         Policy{}.set(&AppSpec::restart_delay, 250ms),
         {online},
         well,
         {{waiting_restart}, wait_then_timer, 250ms}},
        {"the first back-off",
         backoff(),
         {online},
         quick,
         {{waiting_restart, nothing, 0, 1, 100ms}, wait_then_timer, 100ms}},
        {"the next is 1.5 times as long, rounded down",
         backoff(),
         {online, nothing, 3, 0, 225ms},
         well,
         {{waiting_restart, nothing, 3, 0, 100ms}, wait_then_timer, 100ms}},
        {"back-off wins over the fixed delay",
         backoff().set(&AppSpec::restart_delay, 1ms),
         {online},
         quick,
         {{waiting_restart, nothing, 0, 1, 100ms}, wait_then_timer, 100ms}},
        {"back-off ends at 15 s",
         backoff(),
         {online, nothing, 0, 0, 14s},
         long_lived,
         {{waiting_restart, nothing, 0, 0, 15s}, wait_then_timer, 15s}},
        {"30 s of uptime do not yet begin it anew",
         backoff(),
         {online, nothing, 0, 0, 200ms},
         {.status = {}, .uptime = 30s, .since_created = 30s},
         {{waiting_restart, nothing, 0, 0, 300ms}, wait_then_timer, 300ms}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(step(row.from, gone, row.policy.spec, row.how) == row.want);
    }
}

TEST_CASE("restart policy: the back-off of a script that fails at once is PM2's")
{
    const AppSpec spec = [] {
        AppSpec made;
        made.exp_backoff_restart_delay = 100ms;
        made.max_restarts = 1000;
        return made;
    }();
    Lifecycle now{.state = online};
    for (const int want : {100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829}) {
        const Step next = step(now, gone, spec, {.status = {.code = 1}, .uptime = 5ms});
        CHECK(next.delay == milliseconds{want});
        now = step(next.next, timer_fired, spec).next;
        CHECK(now.state == launching);
    }
    CHECK(now.restarts == 10);
}

TEST_CASE("restart policy: an instantly failing script ends as PM2's does")
{
    const struct {
        int max_restarts;
        int launches;
        int restarts;
    } rows[] = {{16, 16, 15}, {3, 3, 2}, {1, 1, 0}};
    for (const auto& row : rows) {
        CAPTURE(row.max_restarts);
        AppSpec spec;
        spec.max_restarts = row.max_restarts;
        Step now = step({}, start_asked, spec);
        int launches = 0;
        milliseconds age = 0ms;
        while (now.effect == spawn) {
            ++launches;
            age += 40ms;
            now = step(step(now.next, ready, spec).next, gone, spec,
                       {.status = {.code = 1}, .uptime = 40ms, .since_created = age});
        }
        CHECK(now.next == Lifecycle{.state = errored, .restarts = row.restarts});
        CHECK(launches == row.launches);
    }
}

TEST_CASE("lifecycle: reset forgets the counters and leaves the state")
{
    CHECK(reset(worker(online)) == Lifecycle{.state = online});
    CHECK(reset(worker(stopping, then_start)) == Lifecycle{.state = stopping, .after = then_start});
}

TEST_CASE("lifecycle: states are spelled as PM2 prints them")
{
    const std::map<State, std::string> want{{stopped, "stopped"},
                                            {launching, "launching"},
                                            {online, "online"},
                                            {stopping, "stopping"},
                                            {waiting_restart, "waiting restart"},
                                            {errored, "errored"}};
    for (const auto& [state, name] : want)
        CHECK(name_of(state) == name);
    for (const Event event : kEvents)
        CHECK(!name_of(event).empty());
}

} // namespace cluster::supervisor
