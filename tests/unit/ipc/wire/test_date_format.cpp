#include "ipc/wire/date_format.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

using cluster::ipc::DateFormat;

namespace {

/// The time zone of this process, and the old one again at the end.
class Zone {
public:
    explicit Zone(const char* name)
    {
        if (const char* old = std::getenv("TZ")) old_ = old;
        set(name);
    }
    ~Zone() { set(old_ ? old_->c_str() : nullptr); }

private:
    static void set(const char* name)
    {
        name != nullptr ? ::setenv("TZ", name, 1) : ::unsetenv("TZ");
        ::tzset();
    }
    std::optional<std::string> old_;
};

constexpr std::int64_t kMorning = 1'609'729'384'056; // Monday 2021-01-04 03:03:04.056 UTC
constexpr std::int64_t kEvening = 1'700'000'000'999; // Tuesday 2023-11-14 22:13:20.999 UTC

} // namespace

TEST_CASE("date format: each token is what dayjs makes of it")
{
    const Zone zone{"UTC0"};
    const struct {
        const char* pattern;
        const char* morning;
        const char* evening;
    } rows[] = {
        {"YYYY-MM-DDTHH:mm:ss", "2021-01-04T03:03:04", "2023-11-14T22:13:20"}, // time: true
        {"YYYY-MM-DD-HH:mm:ss", "2021-01-04-03:03:04", "2023-11-14-22:13:20"}, // logs --timestamp
        {"YYYY-MM-DD HH:mm:ss.SSS Z", "2021-01-04 03:03:04.056 +00:00",
         "2023-11-14 22:13:20.999 +00:00"},
        {"YYYY", "2021", "2023"},
        {"YY", "21", "23"},
        {"M MM MMM MMMM", "1 01 Jan January", "11 11 Nov November"},
        {"D DD", "4 04", "14 14"},
        {"d dd ddd dddd", "1 Mo Mon Monday", "2 Tu Tue Tuesday"},
        {"H HH h hh", "3 03 3 03", "22 22 10 10"},
        {"m mm s ss SSS", "3 03 4 04 056", "13 13 20 20 999"},
        {"A a", "AM am", "PM pm"},
        {"Z ZZ", "+00:00 +0000", "+00:00 +0000"},
        {"[at] HH [o'clock]", "at 03 o'clock", "at 22 o'clock"},
        {"[HH]HH", "HH03", "HH22"},
        {"[] [HH", "[] [03", "[] [22"}, // no literal: nothing in it, never closed
        {"YYYYMMDD", "20210104", "20231114"},
        {"x HH\xc3\xa9", "x 03\xc3\xa9", "x 22\xc3\xa9"},
        {"S SS", "S SS", "S SS"}, // not tokens of dayjs
        {"", "", ""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.pattern);
        DateFormat format{row.pattern};
        CHECK(format.text(kMorning) == row.morning);
        CHECK(format.text(kEvening) == row.evening);
        CHECK(format.text(kMorning) == row.morning); // and back
    }
}

TEST_CASE("date format: it is local time, in summer and in winter")
{
    const Zone zone{"CET-1CEST,M3.5.0,M10.5.0/3"};
    DateFormat format{"HH:mm:ss Z ZZ"};
    CHECK(format.text(1'609'729'384'000) == "04:03:04 +01:00 +0100");
    CHECK(format.text(1'625'000'000'000) == "22:53:20 +02:00 +0200");
}

TEST_CASE("date format: zones west of Greenwich and with half hours")
{
    const Zone zone{"XYZ3:30"};
    DateFormat format{"HH:mm Z ZZ"};
    CHECK(format.text(1'609'729'384'000) == "23:33 -03:30 -0330");
}

TEST_CASE("date format: midnight and noon are twelve o'clock")
{
    const Zone zone{"UTC0"};
    DateFormat format{"h hh A H"};
    CHECK(format.text(0) == "12 12 AM 0");
    CHECK(format.text(12 * 3'600'000) == "12 12 PM 12");
}

TEST_CASE("date format: times before 1970 and each millisecond of a second")
{
    const Zone zone{"UTC0"};
    DateFormat format{"YYYY-MM-DD HH:mm:ss.SSS"};
    CHECK(format.text(-1) == "1969-12-31 23:59:59.999");
    CHECK(format.text(0) == "1970-01-01 00:00:00.000");
    CHECK(format.text(7) == "1970-01-01 00:00:00.007");
    CHECK(format.text(7) == "1970-01-01 00:00:00.007");
    CHECK(format.text(1007) == "1970-01-01 00:00:01.007");
}

TEST_CASE("date format: text is appended")
{
    const Zone zone{"UTC0"};
    DateFormat format{"HH"};
    std::string line = "a ";
    format.append(kMorning, line);
    CHECK(line == "a 03");
    CHECK(!format.empty());
    CHECK(DateFormat{""}.empty());
}
