// What a look at a connection shows, for tests of the idle rule. HZ is 250 in all of them, so that
// the three times are multiples of 4 ms.
#pragma once

#include "supervisor/core/idle_rule.hpp"

#include <chrono>

namespace cluster::tests {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr milliseconds kStart{1'000'000};
inline constexpr supervisor::DrainPace kFirstHalf{
    .elapsed = seconds{1}, .limit = seconds{10}, .longest_gap = milliseconds{0}};
inline constexpr supervisor::DrainPace kSecondHalf{
    .elapsed = seconds{5}, .limit = seconds{10}, .longest_gap = milliseconds{0}};

/// A connection that has had one turn long ago: 100 bytes came, 200 went 4 ms later.
inline supervisor::ConnectionSample answered_long_ago()
{
    return {.received = 100,
            .sent = 200,
            .segments_in = 1,
            .sent_ago = milliseconds{9000},
            .received_ago = milliseconds{9004},
            .ack_ago = milliseconds{8960}};
}

template <class Change>
supervisor::ConnectionSample changed(Change change)
{
    supervisor::ConnectionSample sample = answered_long_ago();
    change(sample);
    return sample;
}

/// What one look says.
inline supervisor::Verdict first_look(const supervisor::ConnectionSample& sample,
                                      const supervisor::DrainPace& pace = kFirstHalf)
{
    return judge(observe({}, sample, kStart), pace);
}

} // namespace cluster::tests
