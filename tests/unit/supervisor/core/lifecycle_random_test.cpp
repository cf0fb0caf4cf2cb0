// Random histories of one worker against the promises that hold in all of them. The world here
// keeps what a kernel and an engine would know: whether a process lives, and which timer runs.
#include "supervisor/core/lifecycle.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace cluster::supervisor { // Effect::remove would collide with ::remove
namespace {

using namespace std::chrono_literals;
using ipc::AppSpec;
using enum State;
using enum Event;
using enum Effect;

/// A fixed seed by default, so that a failure is repeated by running again.
unsigned seed()
{
    const char* const chosen = std::getenv("CLUSTER_TEST_SEED");
    return chosen ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 10)) : 20260101U;
}

using Random = std::mt19937;

int pick(Random& random, int low, int high)
{
    return std::uniform_int_distribution{low, high}(random);
}

AppSpec random_spec(Random& random)
{
    AppSpec spec;
    spec.autorestart = pick(random, 0, 3) > 0;
    spec.max_restarts = pick(random, 0, 16);
    spec.min_uptime = milliseconds{pick(random, 100, 2000)};
    if (pick(random, 0, 1) == 1) spec.restart_delay = milliseconds{pick(random, 0, 500)};
    if (pick(random, 0, 2) == 0)
        spec.exp_backoff_restart_delay = milliseconds{pick(random, 1, 20'000)};
    if (pick(random, 0, 1) == 1) spec.stop_exit_codes = {0, 3};
    spec.kill_timeout = milliseconds{pick(random, 0, 5000)};
    return spec;
}

class World {
public:
    World(Random& random, const AppSpec& spec) : random_{random}, spec_{spec} {}

    [[nodiscard]] bool removed() const { return removed_; }

    /// One event that could really happen now, performed and checked.
    void turn()
    {
        const Event event = choose();
        history_ += std::string{name_of(event)} + " ";
        CAPTURE(history_);
        const Lifecycle before = now_;
        const Step next = step(now_, event, spec_, how_it_went());
        if (event == gone || event == unkillable || event == spawn_failed ||
            event == spawn_postponed)
            alive_ = false;
        if (next.next.state != before.state) timer_ = false;
        now_ = next.next;
        note_wishes(event, before);
        perform(next);
        check(event, before, next);
    }

private:
    Event choose()
    {
        std::vector<Event> possible{start_asked, stop_asked, restart_asked};
        if (pick(random_, 0, 9) == 0) possible.push_back(delete_asked); // it ends the history
        if (alive_) possible.insert(possible.end(), {gone, gone, gone});
        if (alive_ && now_.state == launching)
            possible.insert(possible.end(), {ready, ready, spawn_failed, spawn_postponed});
        if (alive_ && killed_) possible.push_back(unkillable);
        if (timer_) possible.insert(possible.end(), {timer_fired, timer_fired});
        return possible[static_cast<std::size_t>(
            pick(random_, 0, static_cast<int>(possible.size()) - 1))];
    }

    Gone how_it_went()
    {
        return {.status = {.code = pick(random_, 0, 3), .signal = pick(random_, 0, 3) ? 0 : 9},
                .uptime = milliseconds{pick(random_, 0, 60'000)},
                .since_created = milliseconds{pick(random_, 0, 60'000)}};
    }

    /// What the user has said last; a delete of a live worker is never taken back.
    void note_wishes(Event event, const Lifecycle& before)
    {
        if (event == start_asked || event == restart_asked) wanted_ = true;
        if (event == stop_asked) wanted_ = false;
        if (event == delete_asked) deleting_ = true;
        // A tree that cannot be killed ends the delete with an error instead.
        if (event == unkillable && before.state == stopping) deleting_ = wanted_ = false;
    }

    void perform(const Step& next)
    {
        switch (next.effect) {
        case none:
            break;
        case spawn:
            CHECK(!alive_);
            CHECK(now_.state == launching);
            CHECK(wanted_);
            CHECK(!deleting_);
            alive_ = true;
            killed_ = false;
            break;
        case ask_then_timer:
            CHECK(alive_);
            timer_ = true;
            break;
        case kill_tree:
            CHECK(alive_);
            killed_ = true;
            break;
        case wait_then_timer:
            CHECK(!alive_);
            CHECK(next.delay > 0ms);
            CHECK(next.delay <=
                  std::max({15'000ms, spec_.exp_backoff_restart_delay, spec_.restart_delay}));
            timer_ = true;
            break;
        case Effect::remove:
            CHECK(!alive_);
            CHECK(deleting_);
            removed_ = true;
            break;
        }
    }

    void check(Event event, const Lifecycle& before, const Step& next) const
    {
        const bool has_process =
            now_.state == launching || now_.state == online || now_.state == stopping;
        CHECK(alive_ == has_process);
        CHECK(now_.restarts >= before.restarts);
        CHECK(now_.restarts <= before.restarts + 1);
        CHECK((now_.after == After::nothing || now_.state == stopping));
        CHECK((now_.state != waiting_restart || timer_));
        CHECK((now_.unstable_restarts < spec_.max_restarts || now_.unstable_restarts == 0));
        if (deleting_ && !removed_) CHECK(now_.after == After::remove);
        if (event == spawn_failed) CHECK(next.effect == none);
    }

    Random& random_;
    const AppSpec& spec_;
    Lifecycle now_;
    bool alive_ = false;
    bool killed_ = false; ///< SIGKILL has been sent to the process that lives
    bool timer_ = false;
    bool wanted_ = false;
    bool deleting_ = false;
    bool removed_ = false;
    std::string history_;
};

} // namespace

TEST_CASE("lifecycle: promises hold in thousands of random histories")
{
    const unsigned first = seed();
    MESSAGE("seed ", first, " (CLUSTER_TEST_SEED)");
    for (unsigned i = 0; i < 4000; ++i) {
        CAPTURE(first + i);
        Random random{first + i};
        const AppSpec spec = random_spec(random);
        World world{random, spec};
        for (int turn = 0; turn < 60 && !world.removed(); ++turn)
            world.turn();
    }
}

} // namespace cluster::supervisor
