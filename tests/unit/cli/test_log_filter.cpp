#include "cli/log_filter.hpp"
#include "ipc/wire/date_format.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::cli;

namespace {

constexpr std::int64_t kNow = 1'790'000'000'000; // 2026-09-21 14:13:20 UTC
constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;

/// As the local time of this machine, whatever its zone.
std::string local(std::int64_t at)
{
    return cluster::ipc::DateFormat{"YYYY-MM-DD HH:mm:ss.SSS"}.text(at);
}

bool matches(const char* pattern, std::string_view line, bool ignore_case = false)
{
    const auto compiled = LogPattern::compile(pattern, ignore_case);
    REQUIRE(compiled);
    return compiled->matches(line);
}

} // namespace

TEST_CASE("log moments: an age counts back from now")
{
    const struct {
        const char* text;
        std::int64_t age;
    } rows[] = {
        {"0s", 0},          {"30s", 30'000},        {"10m", 10 * kMinute},   {"2h", 2 * kHour},
        {"1d", 24 * kHour}, {"1w", 7 * 24 * kHour}, {"1h30m", 90 * kMinute},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(parse_moment(row.text, kNow) == kNow - row.age);
    }
}

TEST_CASE("log moments: dates with a zone")
{
    const struct {
        const char* text;
        std::int64_t want;
    } rows[] = {
        {"2026-09-21T14:13:20Z", kNow},       {"2026-09-21T14:13:20.250Z", kNow + 250},
        {"2026-09-21 16:13:20+02:00", kNow},  {"2026-09-21T10:43:20-0330", kNow},
        {"2026-09-21T14:13Z", kNow - 20'000}, {"2024-02-29T00:00Z", 1'709'164'800'000},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(parse_moment(row.text, kNow) == row.want);
    }
}

TEST_CASE("log moments: dates and times of day without a zone are local")
{
    const auto day = parse_moment("2026-09-20", kNow);
    REQUIRE(day);
    CHECK(local(*day) == "2026-09-20 00:00:00.000");
    const auto time = parse_moment("2026-09-20 14:30:05.250", kNow);
    REQUIRE(time);
    CHECK(local(*time) == "2026-09-20 14:30:05.250");
    // The last one that has been, today's or yesterday's.
    for (const char* text : {"00:00", "11:59", "14:30", "23:59:59"}) {
        CAPTURE(text);
        const auto at = parse_moment(text, kNow);
        REQUIRE(at);
        CHECK(*at <= kNow);
        CHECK(*at > kNow - 25 * kHour);
        CHECK(local(*at).substr(11).starts_with(text));
    }
}

TEST_CASE("log moments: anything else is none")
{
    for (const char* text : {"",
                             "10",
                             "m",
                             "10x",
                             "-5m",
                             "10m ",
                             "1h30",
                             "99999999999999999999h",
                             "25:00",
                             "12:60",
                             "12",
                             "1:30",
                             "2026-13-01",
                             "2026-02-31",
                             "2026-1-1",
                             "2026-01-01T",
                             "2026-01-01Tx",
                             "2026-01-01T12:00+99:00",
                             "2026-01-01T12:00Zx",
                             "yesterday",
                             "99999w99999w"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_moment(text, kNow));
    }
}

TEST_CASE("log pattern: finds what the line holds")
{
    CHECK(matches("err(or)?", "an error"));
    CHECK(matches("^\\d+ ms$", "12 ms"));
    CHECK_FALSE(matches("^\\d+ ms$", "12 ms."));
    CHECK_FALSE(matches("ERROR", "an error"));
    CHECK(matches("ERROR", "an error", true));
    CHECK(matches("(?i)ERROR", "an error"));
    CHECK(matches("\xc3\xa9t\xc3\xa9.$", "un \xc3\xa9t\xc3\xa9!"));
    CHECK(matches("after", "\xff\xfe after")); // bytes that are not UTF-8
    CHECK(matches("^$", ""));
}

TEST_CASE("log pattern: one that backtracks without end finds nothing, and says so in time")
{
    CHECK_FALSE(matches("^(a+)+$", std::string(200, 'a') + 'b'));
    CHECK(matches("(x|y)*z", std::string(100'000, 'x') + 'z')); // more than JIT's small stack
}

TEST_CASE("log pattern: a mistake is told with its place")
{
    const auto wrong = LogPattern::compile("a(b", false);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error() ==
          "the regular expression is wrong at character 4: missing closing parenthesis");
}

TEST_CASE("log filter: a line of unknown time is before every moment")
{
    const auto pattern = LogPattern::compile("b", false);
    REQUIRE(pattern);
    const LogFilter filter{.since = 10, .until = 20, .grep = &*pattern};
    CHECK(filter.passes("abc", 10));
    CHECK(filter.passes("abc", 20));
    CHECK_FALSE(filter.passes("abc", 9));
    CHECK_FALSE(filter.passes("abc", 21));
    CHECK_FALSE(filter.passes("abc", 0));
    CHECK_FALSE(filter.passes("xyz", 15));
    CHECK(LogFilter{}.passes("anything", 0));
}
