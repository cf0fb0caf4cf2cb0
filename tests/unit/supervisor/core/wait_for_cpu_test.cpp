#include "supervisor/core/idle_rule.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace cluster::supervisor;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

TEST_CASE(
    "idle rule: a worker with something to do is given a tenth of a second, or half the limit")
{
    const struct {
        milliseconds quiet;
        milliseconds elapsed;
        bool want;
    } rows[] = {{20ms, 1s, false},
                {99ms, 1s, false},
                {100ms, 1s, true},
                {20ms, 4999ms, false},
                {20ms, 5s, true}};
    for (const auto& row : rows) {
        CAPTURE(row.quiet.count());
        CAPTURE(row.elapsed.count());
        ConnectionHistory history;
        history.last_look = 1000s;
        history.moved = 1000s - row.quiet;
        const DrainPace pace{.elapsed = row.elapsed, .limit = 10s, .longest_gap = 0ms};
        CHECK(outlasts_a_wait_for_cpu(history, pace) == row.want);
    }
}
