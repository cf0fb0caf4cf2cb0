#include "ipc/wire/cron.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster;
using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

namespace {

ipc::CronPattern good(const std::string& text)
{
    const auto pattern = ipc::parse_cron(text);
    CAPTURE(text);
    REQUIRE_MESSAGE(pattern.has_value(), pattern.error());
    return *pattern;
}

std::string fault(const std::string& text)
{
    const auto pattern = ipc::parse_cron(text);
    return pattern ? "none" : pattern.error();
}

/// The days of one month that it takes.
std::vector<unsigned> days_in(const std::string& text, std::chrono::year_month month)
{
    std::vector<unsigned> days;
    const year_month_day last = month / std::chrono::last;
    const auto pattern = good(text);
    for (unsigned day = 1; day <= static_cast<unsigned>(last.day()); ++day)
        if (on_date(pattern, month / std::chrono::day{day})) days.push_back(day);
    return days;
}

template <class Bits>
std::vector<unsigned> set_in(const Bits& bits)
{
    std::vector<unsigned> values;
    for (unsigned value = 0; value < bits.size(); ++value)
        if (bits.test(value)) values.push_back(value);
    return values;
}

using Values = std::vector<unsigned>;

} // namespace

TEST_CASE("fields of a cron pattern: numbers, lists, ranges and steps")
{
    const auto daily = good("30 3 * * *");
    CHECK(set_in(daily.seconds) == Values{0});
    CHECK(set_in(daily.minutes) == Values{30});
    CHECK(set_in(daily.hours) == Values{3});
    CHECK(daily.days.count() == 31);
    CHECK(daily.months.count() == 12);
    CHECK(daily.weekdays.all());
    CHECK(set_in(good("1,5,59 * * * *").minutes) == Values{1, 5, 59});
    CHECK(set_in(good("10-13 * * * *").minutes) == Values{10, 11, 12, 13});
    CHECK(set_in(good("*/20 * * * *").minutes) == Values{0, 20, 40});
    CHECK(set_in(good("10-40/15 * * * *").minutes) == Values{10, 25, 40});
    CHECK(set_in(good("7/20 * * * *").minutes) == Values{7, 27, 47});
    CHECK(set_in(good("5,10-12,50/5 * * * *").minutes) == Values{5, 10, 11, 12, 50, 55});
    CHECK(set_in(good("*/15 30 3 * * *").seconds) == Values{0, 15, 30, 45});
    CHECK(good("  0\t3 *  * * ") == good("0 3 * * *"));
    CHECK(good("0 3 ? * ?") == good("0 3 * * *"));
}

TEST_CASE("names of months and weekdays, and nicknames")
{
    CHECK(set_in(good("0 0 * JAN,mar,Dec *").months) == Values{1, 3, 12});
    CHECK(set_in(good("0 0 * feb-apr *").months) == Values{2, 3, 4});
    CHECK(set_in(good("0 0 * * MON-fri").weekdays) == Values{1, 2, 3, 4, 5});
    CHECK(set_in(good("0 0 * * 7").weekdays) == Values{0});
    CHECK(set_in(good("0 0 * * 5-7").weekdays) == Values{0, 5, 6});
    CHECK(good("@daily") == good("0 0 * * *"));
    CHECK(good("@Midnight") == good("0 0 * * *"));
    CHECK(good("@hourly") == good("0 * * * *"));
    CHECK(good("@weekly") == good("0 0 * * 0"));
    CHECK(good("@monthly") == good("0 0 1 * *"));
    CHECK(good("@yearly") == good("0 0 1 1 *"));
    CHECK(good("@annually") == good("0 0 1 1 *"));
}

TEST_CASE("days of a month and weekdays")
{
    constexpr auto november = 2026y / 11; // begins on a Sunday, ends on a Monday
    CHECK(days_in("0 0 13 * *", november) == Values{13});
    CHECK(days_in("0 0 * * mon", november) == Values{2, 9, 16, 23, 30});
    CHECK(days_in("0 0 * 10 *", november).empty());
    // Both restricted: either. With a star in one of them: both (man 5 crontab).
    CHECK(days_in("0 0 13 * mon", november) == Values{2, 9, 13, 16, 23, 30});
    CHECK(days_in("0 0 */2 * mon", november) == Values{9, 23});
    CHECK(days_in("0 0 L * *", november) == Values{30});
    CHECK(days_in("0 0 L * *", 2028y / 2) == Values{29});
    CHECK(days_in("0 0 1,L * *", november) == Values{1, 30});
    CHECK(days_in("0 0 * * 5L", november) == Values{27});
    CHECK(days_in("0 0 * * friL", november) == Values{27});
    CHECK(days_in("0 0 * * 5#2", november) == Values{13});
    CHECK(days_in("0 0 * * sun#5", november) == Values{29});
    CHECK(days_in("0 0 * * sat#5", november).empty());
    CHECK(days_in("0 0 * * mon#1,mon#3", november) == Values{2, 16});
    CHECK(days_in("0 0 18W * *", november) == Values{18}); // a Wednesday
    CHECK(days_in("0 0 14W * *", november) == Values{13}); // Saturday: the Friday before
    CHECK(days_in("0 0 15W * *", november) == Values{16}); // Sunday: the Monday after
    CHECK(days_in("0 0 1W * *", november) == Values{2});   // not into October
    CHECK(days_in("0 0 1W * *", 2026y / 8) == Values{3});  // a Saturday: not into July
    CHECK(days_in("0 0 31W * *", 2026y / 10) == Values{30});
    CHECK(days_in("0 0 31W * *", november).empty());
    CHECK(days_in("0 0 LW * *", 2026y / 10) == Values{30}); // the 31st is a Saturday
}

TEST_CASE("what is wrong with a pattern is said")
{
    CHECK(fault("") == "it has 0 fields instead of 5, or 6 with seconds");
    CHECK(fault("* * * *") == "it has 4 fields instead of 5, or 6 with seconds");
    CHECK(fault("* * * * * * *") == "it has 7 fields instead of 5, or 6 with seconds");
    CHECK(fault("@never") == "it has 1 fields instead of 5, or 6 with seconds");
    CHECK(fault("60 * * * *") == "minute 60 is not from 0 to 59");
    CHECK(fault("60 * * * * *") == "second 60 is not from 0 to 59");
    CHECK(fault("* 24 * * *") == "hour 24 is not from 0 to 23");
    CHECK(fault("* * 0 * *") == "day 0 is not from 1 to 31");
    CHECK(fault("* * * 13 *") == "month 13 is not from 1 to 12");
    CHECK(fault("* * * * 8") == "weekday 8 is not from 0 to 7");
    CHECK(fault("* * * * mon#6") == "week 6 is not from 1 to 5");
    CHECK(fault("* * * foo *") == "month foo is not from 1 to 12");
    CHECK(fault("-1 * * * *") == "minute \"\" is not from 0 to 59");
    CHECK(fault("1- * * * *") == "minute \"\" is not from 0 to 59");
    CHECK(fault("5-3 * * * *") == "minute 5-3: 5 comes after 3");
    CHECK(fault("*/0 * * * *") == "step 0 is not from 1 to 59");
    CHECK(fault("1,,2 * * * *") == "minute \"\" is not from 0 to 59");
    CHECK(fault("99999999999 * * * *") == "minute 99999999999 is not from 0 to 59");
    CHECK(fault("0 0 31 2 *") == "there is no such date");
    CHECK(fault("0 0 30 feb *") == "there is no such date");
    CHECK(fault("0 0 29 2 *") == "none"); // every four years
    CHECK(fault(std::string(201, '*')) == "it is longer than 200 bytes");
}
