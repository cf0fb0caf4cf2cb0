#include "supervisor/core/cron_time.hpp"
#include "tests/support/time_zone.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <ctime>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

std::int64_t utc_ms(const char* text)
{
    std::tm fields{};
    const char* end = ::strptime(text, "%Y-%m-%d %H:%M:%S", &fields);
    REQUIRE((end != nullptr && *end == '\0'));
    return std::int64_t{::timegm(&fields)} * 1000;
}

std::string utc(std::int64_t ms)
{
    const std::time_t moment = static_cast<std::time_t>(ms / 1000);
    std::tm fields{};
    ::gmtime_r(&moment, &fields);
    char text[32];
    REQUIRE(std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &fields) > 0);
    return ms % 1000 == 0 ? text : std::string{text} + " and a part";
}

/// All in UTC: the first moment of `pattern` after `from`.
std::string next(const char* pattern, const char* from)
{
    const auto parsed = ipc::parse_cron(pattern);
    REQUIRE(parsed.has_value());
    const auto found = next_cron_time(*parsed, utc_ms(from));
    return found ? utc(*found) : "never";
}

} // namespace

TEST_CASE("the next moment of a cron pattern")
{
    const tests::Zone zone{"UTC"};
    CHECK(next("* * * * *", "2026-11-22 11:29:59") == "2026-11-22 11:30:00");
    CHECK(next("* * * * *", "2026-11-22 11:30:00") == "2026-11-22 11:31:00");
    CHECK(next("* * * * * *", "2026-11-22 11:30:00") == "2026-11-22 11:30:01");
    CHECK(next("*/20 * * * * *", "2026-11-22 11:30:20") == "2026-11-22 11:30:40");
    CHECK(next("*/20 * * * * *", "2026-11-22 11:30:40") == "2026-11-22 11:31:00");
    CHECK(next("0 3 * * *", "2026-11-22 02:59:59") == "2026-11-22 03:00:00");
    CHECK(next("0 3 * * *", "2026-11-22 03:00:00") == "2026-11-23 03:00:00");
    CHECK(next("0 0 * * *", "2026-11-22 23:59:59") == "2026-11-23 00:00:00");
    CHECK(next("0 3 1 * *", "2026-11-22 00:00:00") == "2026-12-01 03:00:00");
    CHECK(next("0 0 1 1 *", "2026-11-22 00:00:00") == "2027-01-01 00:00:00");
    CHECK(next("0 0 29 2 *", "2026-11-22 00:00:00") == "2028-02-29 00:00:00");
    CHECK(next("59 23 L 2 *", "2026-11-22 00:00:00") == "2027-02-28 23:59:00");
    // A fifth Monday in February: 2100 has no 29th.
    CHECK(next("0 0 * 2 mon#5", "2044-03-01 00:00:00") == "2072-02-29 00:00:00");
    CHECK(next("0 0 * 2 mon#5", "2072-03-01 00:00:00") == "2112-02-29 00:00:00");
    // Between two seconds: the next whole one.
    const auto parsed = ipc::parse_cron("* * * * * *");
    CHECK(next_cron_time(*parsed, utc_ms("2026-11-22 00:00:00") + 1) ==
          utc_ms("2026-11-22 00:00:01"));
}

TEST_CASE("cron patterns are in local time")
{
    const tests::Zone zone{"Asia/Kolkata"}; // 5:30 ahead
    CHECK(next("0 3 * * *", "2026-11-21 21:00:00") == "2026-11-21 21:30:00");
    CHECK(next("0 0 * * *", "2026-11-21 18:00:00") == "2026-11-21 18:30:00");
    CHECK(next("*/10 * * * *", "2026-11-21 18:01:00") == "2026-11-21 18:10:00");
}

TEST_CASE("a time of day that is left out in spring is due at the change")
{
    const tests::Zone zone{"Europe/Berlin"}; // 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC
    CHECK(next("30 2 * * *", "2026-03-29 00:00:00") == "2026-03-29 01:00:00");
    CHECK(next("30 2 * * *", "2026-03-29 01:00:00") == "2026-03-30 00:30:00");
    CHECK(next("0 2 * * *", "2026-03-29 00:59:59") == "2026-03-29 01:00:00");
    CHECK(next("0 3 * * *", "2026-03-29 00:00:00") == "2026-03-29 01:00:00");
    CHECK(next("30 3 * * *", "2026-03-29 00:00:00") == "2026-03-29 01:30:00");
    CHECK(next("30 2 30 * *", "2026-03-29 00:00:00") == "2026-03-30 00:30:00");
    // What comes every hour has nothing to make up.
    CHECK(next("30 * * * *", "2026-03-29 00:30:00") == "2026-03-29 01:30:00");
}

TEST_CASE("a time of day that comes twice in autumn is due the first time")
{
    const tests::Zone zone{"Europe/Berlin"}; // 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC
    CHECK(next("30 2 * * *", "2026-10-25 00:00:00") == "2026-10-25 00:30:00");
    CHECK(next("30 2 * * *", "2026-10-25 00:30:00") == "2026-10-26 01:30:00");
    CHECK(next("0 3 * * *", "2026-10-25 00:30:00") == "2026-10-25 02:00:00");
    CHECK(next("*/15 2 * * *", "2026-10-25 00:45:00") == "2026-10-26 01:00:00");
    // Every hour goes on in both.
    CHECK(next("30 * * * *", "2026-10-25 00:30:00") == "2026-10-25 01:30:00");
    CHECK(next("30 * * * *", "2026-10-25 01:30:00") == "2026-10-25 02:30:00");
}

TEST_CASE("clocks that are changed at midnight")
{
    const tests::Zone zone{"America/Asuncion"}; // 2023-10-01: 00:00 becomes 01:00, at 04:00 UTC
    CHECK(next("0 0 * * *", "2023-09-30 12:00:00") == "2023-10-01 04:00:00");
    CHECK(next("0 0 * * *", "2023-10-01 04:00:00") == "2023-10-02 03:00:00");
    CHECK(next("0 12 2 * *", "2023-09-30 12:00:00") == "2023-10-02 15:00:00");
    CHECK(next("30 0 1 10 *", "2023-09-30 12:00:00") == "2023-10-01 04:00:00");
}
