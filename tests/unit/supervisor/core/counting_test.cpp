#include "supervisor/core/exit_reason.hpp"
#include "supervisor/core/recent_count.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;
using cluster::ipc::ExitStatus;

TEST_CASE("exit_reason: what was wanted comes before how it ended")
{
    const struct {
        const char* name;
        ExitStatus status;
        bool asked, over_limit;
        ExitReason want;
    } rows[] = {
        {"by itself", {0, 0}, false, false, ExitReason::success},
        {"by itself, with a code", {3, 0}, false, false, ExitReason::failure},
        {"by a signal", {0, 11}, false, false, ExitReason::signal},
        {"killed for what it took", {0, 9}, false, true, ExitReason::limit},
        {"stopped", {0, 2}, true, false, ExitReason::asked},
        {"stopped, and above its limit", {0, 9}, true, true, ExitReason::asked},
        {"nobody has seen it", cluster::ipc::kUnknownExit, false, false, ExitReason::unknown},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(reason_of(row.status, row.asked, row.over_limit) == row.want);
    }
}

TEST_CASE("recent_count: forgets after an hour, five minutes at a time")
{
    constexpr std::int64_t kMinute = 60'000;
    constexpr std::int64_t kBegin = 1'795'000'000'000 / RecentCount::kPartMs * RecentCount::kPartMs;
    RecentCount count;
    CHECK(count.within_hour(kBegin) == 0);
    for (int i = 0; i < 3; ++i)
        count.add(kBegin);
    count.add(kBegin + 30 * kMinute);
    CHECK(count.within_hour(kBegin + 30 * kMinute) == 4);
    CHECK(count.within_hour(kBegin + 59 * kMinute) == 4);
    CHECK(count.within_hour(kBegin + 60 * kMinute) == 1);
    CHECK(count.within_hour(kBegin + 90 * kMinute) == 0);
    CHECK(count.within_hour(kBegin + 30 * kMinute) == 4); // looking forgets nothing
    count.add(kBegin + 1000 * kMinute);
    CHECK(count.within_hour(kBegin + 1000 * kMinute) == 1);
}

TEST_CASE("recent_count: goes on from what was saved, and survives a clock that is set back")
{
    constexpr std::int64_t kNow = 1'795'000'000'000;
    RecentCount count;
    count.add(kNow);
    count.add(kNow - 3 * RecentCount::kPartMs);
    const RecentCount again{count.saved()};
    CHECK(again.within_hour(kNow) == 2);
    CHECK(again.saved() == count.saved());
}
