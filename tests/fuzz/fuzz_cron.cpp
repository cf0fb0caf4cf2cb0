// Any bytes as a cron pattern: what is taken has a next moment, that moment comes after the one
// before it, and every field allows it. In UTC, where no clock is ever changed.
#include "ipc/base/check.hpp"
#include "supervisor/core/cron_time.hpp"

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string_view>

using namespace cluster;

namespace {

bool allowed(const ipc::CronPattern& pattern, std::int64_t ms)
{
    const std::time_t moment = static_cast<std::time_t>(ms / 1000);
    std::tm at{};
    ::gmtime_r(&moment, &at);
    const auto date = std::chrono::year{at.tm_year + 1900} /
                      std::chrono::month{static_cast<unsigned>(at.tm_mon + 1)} /
                      std::chrono::day{static_cast<unsigned>(at.tm_mday)};
    return pattern.seconds.test(static_cast<std::size_t>(at.tm_sec)) &&
           pattern.minutes.test(static_cast<std::size_t>(at.tm_min)) &&
           pattern.hours.test(static_cast<std::size_t>(at.tm_hour)) && on_date(pattern, date);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const bool kUtc = ::setenv("TZ", "UTC", 1) == 0;
    CLUSTER_CHECK(kUtc, "the time zone is set");
    const auto pattern = ipc::parse_cron({reinterpret_cast<const char*>(data), size});
    if (!pattern) {
        CLUSTER_CHECK(!pattern.error().empty(), "a refusal says why");
        return 0;
    }
    std::int64_t ms = 1'795'346'999'123; // 2026-11-22T11:29:59.123Z
    for (int times = 0; times < 3; ++times) {
        const auto next = supervisor::next_cron_time(*pattern, ms);
        CLUSTER_CHECK(next.has_value(), "what is taken has a date");
        CLUSTER_CHECK(*next > ms, "time goes on");
        CLUSTER_CHECK(allowed(*pattern, *next), "every field allows it");
        ms = *next;
    }
    return 0;
}
