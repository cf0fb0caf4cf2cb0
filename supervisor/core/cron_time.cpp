#include "supervisor/core/cron_time.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace cluster::supervisor {
namespace {

using ipc::CronPattern;

constexpr std::int64_t kSecondMs = 1000;
constexpr std::time_t kMinute = 60;
constexpr std::time_t kHour = 3600;
constexpr int kMinutesOfDay = 24 * 60;
/// Days. A weekday that is to be a 29th of February waits 28 years, and 40 over a century such as
/// 2100.
constexpr int kLongestSearch = 41 * 366;

std::tm local(std::time_t moment)
{
    std::tm fields{};
    ::localtime_r(&moment, &fields);
    return fields;
}

bool on_date(const CronPattern& pattern, const std::tm& day)
{
    return ipc::on_date(pattern, std::chrono::year{day.tm_year + 1900} /
                                     std::chrono::month{static_cast<unsigned>(day.tm_mon + 1)} /
                                     std::chrono::day{static_cast<unsigned>(day.tm_mday)});
}

bool at_minute(const CronPattern& pattern, int of_day)
{
    return pattern.hours.test(static_cast<std::size_t>(of_day / 60)) &&
           pattern.minutes.test(static_cast<std::size_t>(of_day % 60));
}

int minute_of_day(const std::tm& fields)
{
    return fields.tm_hour * 60 + fields.tm_min;
}

/// The first second from `from` on in a minute that matches.
std::optional<int> second_of(const CronPattern& pattern, int from)
{
    for (int second = from; second < 60; ++second)
        if (pattern.seconds.test(static_cast<std::size_t>(second))) return second;
    return std::nullopt;
}

/// `minute` is the first one after the clocks were put forward, and a time that was left out
/// matches.
bool makes_up(const CronPattern& pattern, std::time_t minute, const std::tm& now)
{
    const std::tm before = local(minute - 1);
    const long skipped = (now.tm_gmtoff - before.tm_gmtoff) / kMinute;
    if (skipped <= 0) return false;
    for (int after = 1; after <= skipped; ++after)
        if (at_minute(pattern, (minute_of_day(before) + after) % kMinutesOfDay)) return true;
    return false;
}

/// The clocks were put back, and the same time has been before.
bool is_repeated(std::time_t minute, const std::tm& now)
{
    constexpr std::time_t kLongestChange = 3 * kHour;
    const long back = local(minute - kLongestChange).tm_gmtoff - now.tm_gmtoff;
    if (back <= 0) return false;
    const std::tm then = local(minute - back);
    return then.tm_mday == now.tm_mday && minute_of_day(then) == minute_of_day(now);
}

/// In the minute that begins at `minute` and no earlier than its second `from`.
std::optional<std::time_t> within(const CronPattern& pattern, std::time_t minute, int from)
{
    const std::tm now = local(minute);
    if (pattern.every_hour()) {
        if (!at_minute(pattern, minute_of_day(now))) return std::nullopt;
    } else {
        if (from == 0 && makes_up(pattern, minute, now)) return minute;
        if (!at_minute(pattern, minute_of_day(now)) || is_repeated(minute, now))
            return std::nullopt;
    }
    const auto second = second_of(pattern, from);
    if (!second) return std::nullopt;
    return minute + *second;
}

std::time_t next_midnight(std::tm day)
{
    day.tm_sec = day.tm_min = day.tm_hour = 0;
    ++day.tm_mday;
    day.tm_isdst = -1; // as it is on that day
    return std::mktime(&day);
}

} // namespace

std::optional<std::int64_t> next_cron_time(const CronPattern& pattern, std::int64_t wall_ms)
{
    std::time_t at = static_cast<std::time_t>(wall_ms / kSecondMs) + 1;
    for (int day = 0; day < kLongestSearch; ++day) {
        const std::tm today = local(at);
        // A day that begins with a change of the clocks may have no midnight.
        const std::time_t end = std::max(next_midnight(today), at + kMinute);
        if (!on_date(pattern, today)) {
            at = end;
            continue;
        }
        while (at < end) {
            const int second = local(at).tm_sec;
            if (const auto found = within(pattern, at - second, second))
                return std::int64_t{*found} * kSecondMs;
            at += kMinute - second;
        }
        at = end;
    }
    return std::nullopt;
}

} // namespace cluster::supervisor
