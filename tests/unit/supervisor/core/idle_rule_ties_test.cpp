// Request and answer carry the same time of the kernel, so that one look does not tell which came
// first.
#include "supervisor/core/idle_rule.hpp"

#include "tests/unit/supervisor/core/connection_samples.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

TEST_CASE("idle rule: request and answer in the same jiffy")
{
    const struct {
        const char* name;
        std::uint32_t segments;
        std::uint32_t unacknowledged;
        milliseconds both; ///< since request and answer
        milliseconds ack;
        Verdict want;
    } rows[] = {
        {"the answer was acknowledged by itself", 7, 0, 1040ms, 1000ms, Verdict::idle},
        {"the answer is not acknowledged", 7, 1, 1040ms, 1040ms, Verdict::idle},
        {"not quiet for long enough", 7, 0, 900ms, 860ms, Verdict::settling},
        {"acknowledged as late as it comes by itself", 7, 0, 1156ms, 1000ms, Verdict::idle},
        {"undecided: it may be in a second copy of the request", 7, 0, 1200ms, 1000ms,
         Verdict::settling},
        {"undecided: the clock ticked between request and acknowledgement in it", 7, 0, 1004ms,
         1000ms, Verdict::settling},
        {"undecided: the same, a tick of 10 ms", 7, 0, 1010ms, 1000ms, Verdict::settling},
        {"undecided: the next request may have come", 7, 0, 1040ms, 1040ms, Verdict::settling},
        {"undecided for 2 s, a first request", 1, 0, 2000ms, 2000ms, Verdict::idle},
        {"undecided for less, a first request", 1, 0, 1996ms, 1996ms, Verdict::settling},
        {"undecided for 2 s, a later request", 2, 0, 2000ms, 2000ms, Verdict::settling},
        {"undecided for half of the limit", 2, 0, 5000ms, 5000ms, Verdict::idle},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto sample = changed([&](ConnectionSample& s) {
            s.segments_in = row.segments;
            s.unacknowledged = row.unacknowledged;
            s.sent_ago = s.received_ago = row.both;
            s.ack_ago = row.ack;
        });
        CHECK(first_look(sample) == row.want);
    }
}

TEST_CASE("idle rule: a tie is waited for half of the limit, but 2 s at least and 10 s at most")
{
    const struct {
        milliseconds limit;
        milliseconds quiet;
        Verdict want;
    } rows[] = {
        {1s, 1996ms, Verdict::settling},  {1s, 2000ms, Verdict::idle},
        {8s, 3996ms, Verdict::settling},  {8s, 4000ms, Verdict::idle},
        {60s, 9996ms, Verdict::settling}, {60s, 10s, Verdict::idle},
    };
    for (const auto& row : rows) {
        CAPTURE(row.limit.count());
        CAPTURE(row.quiet.count());
        const auto sample = changed([&](ConnectionSample& s) {
            s.segments_in = 2;
            s.sent_ago = s.received_ago = s.ack_ago = row.quiet;
        });
        CHECK(first_look(sample, {.elapsed = 0ms, .limit = row.limit, .longest_gap = 0ms}) ==
              row.want);
    }
}
