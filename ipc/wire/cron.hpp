// When an app is to be restarted by the clock: five or six fields, as man 5 crontab and PM2's
// croner read them. Pure: text in, a pattern out, and which dates it takes;
// supervisor/core/cron_time finds the next moment.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <expected>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// A bit per value that a field takes. Sunday is weekday 0.
struct CronPattern {
    std::bitset<60> seconds; ///< only 0 where five fields are given
    std::bitset<60> minutes;
    std::bitset<24> hours;
    std::bitset<32> days;         ///< of the month, from 1
    std::bitset<13> months;       ///< from 1
    std::bitset<7> weekdays;      ///< every one in the month
    bool star_day = false;        ///< the field begins with `*`
    bool star_weekday = false;    ///< likewise
    bool last_day = false;        ///< `L`
    bool last_workday = false;    ///< `LW`
    std::bitset<32> near_days;    ///< `15W`: the workday nearest to the 15th, in the same month
    std::bitset<7> last_weekdays; ///< `5L`: the last Friday of the month
    std::array<std::bitset<6>, 7> nth_weekdays{}; ///< `5#2`: the second Friday

    bool operator==(const CronPattern&) const = default;

    /// A time of day that comes again each hour, and so is not bound to one.
    [[nodiscard]] bool every_hour() const { return hours.all(); }
};

/// `[second] minute hour day-of-month month day-of-week`, or a nickname such as `@daily`. Each
/// field:
/// `*` (or `?`), numbers, ranges, lists, steps (`*/5`, `10-40/10`, `7/20` from 7 on), names of
/// months and weekdays (`JAN`, `mon`), 7 for Sunday; for days `L`, `W` and `#` as above. Where
/// neither field of days begins with `*`, either of them is enough (man 5 crontab). The error says
/// what is wrong, for people: "hour 24 is not from 0 to 23". A pattern that no date ever has is
/// one.
[[nodiscard]] std::expected<CronPattern, std::string> parse_cron(std::string_view text);

/// Whether `pattern` takes this day.
[[nodiscard]] bool on_date(const CronPattern& pattern, std::chrono::year_month_day date);

} // namespace cluster::ipc
