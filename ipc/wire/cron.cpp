#include "ipc/wire/cron.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace cluster::ipc {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::weekday;
using std::chrono::year_month_day;
using Fault = std::unexpected<std::string>;
using Done = std::expected<void, std::string>;

constexpr std::size_t kLongest = 200; ///< bytes of a pattern
constexpr unsigned kDaysOfWeek = 7;

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed",
                                                    "thu", "fri", "sat"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNicknames{{
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
}};

struct Field {
    std::string_view name;
    unsigned min;
    unsigned max;
    std::span<const std::string_view> words{}; ///< for min, min + 1, …
};
constexpr Field kSecond{"second", 0, 59};
constexpr Field kMinute{"minute", 0, 59};
constexpr Field kHour{"hour", 0, 23};
constexpr Field kDay{"day", 1, 31};
constexpr Field kMonth{"month", 1, 12, kMonths};
constexpr Field kWeekday{"weekday", 0, 7, kWeekdays}; ///< 7 is Sunday too
constexpr Field kNth{"week", 1, 5};
constexpr Field kStep{"step", 1, 59};

std::string lower(std::string_view text)
{
    std::string out{text};
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view at)
{
    std::vector<std::string_view> parts;
    while (true) {
        const auto end = text.find_first_of(at);
        parts.push_back(text.substr(0, end));
        if (end == text.npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::expected<unsigned, std::string> value_in(const Field& field, std::string_view text)
{
    const auto word = std::ranges::find(field.words, text);
    if (word != field.words.end())
        return field.min + static_cast<unsigned>(word - field.words.begin());
    unsigned value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || code != std::errc{} || end != text.data() + text.size() ||
        value < field.min || value > field.max)
        return Fault{fmt::format("{} {} is not from {} to {}", field.name,
                                 text.empty() ? "\"\"" : text, field.min, field.max)};
    return value;
}

/// `*`, `5`, `1-5`, with or without `/step`: every value goes to `take`.
template <class Take>
Done read_range(const Field& field, std::string_view text, const Take& take)
{
    const auto slash = text.find('/');
    const std::string_view range = text.substr(0, slash);
    unsigned step = 1;
    if (slash != text.npos) {
        const auto given = value_in(kStep, text.substr(slash + 1));
        if (!given) return Fault{given.error()};
        step = *given;
    }
    unsigned from = field.min;
    unsigned to = field.max;
    if (range != "*" && range != "?") {
        const auto dash = range.find('-');
        const auto first = value_in(field, range.substr(0, dash));
        if (!first) return Fault{first.error()};
        from = *first;
        if (dash != range.npos) {
            const auto last = value_in(field, range.substr(dash + 1));
            if (!last) return Fault{last.error()};
            to = *last;
        } else if (slash == text.npos) {
            to = from;
        }
    }
    if (from > to)
        return Fault{fmt::format("{} {}: {} comes after {}", field.name, range, from, to)};
    for (unsigned value = from; value <= to; value += step)
        take(value);
    return {};
}

template <std::size_t Size>
Done read_field(const Field& field, std::string_view text, std::bitset<Size>& into)
{
    for (const std::string_view part : split(text, ",")) {
        auto done = read_range(field, part, [&](unsigned value) { into.set(value); });
        if (!done) return done;
    }
    return {};
}

Done read_days(std::string_view text, CronPattern& pattern)
{
    for (const std::string_view part : split(text, ",")) {
        if (part == "l") {
            pattern.last_day = true;
        } else if (part == "lw") {
            pattern.last_workday = true;
        } else if (part.ends_with('w')) {
            const auto day = value_in(kDay, part.substr(0, part.size() - 1));
            if (!day) return Fault{day.error()};
            pattern.near_days.set(*day);
        } else if (auto done = read_field(kDay, part, pattern.days); !done) {
            return done;
        }
    }
    return {};
}

Done read_weekdays(std::string_view text, CronPattern& pattern)
{
    for (const std::string_view part : split(text, ",")) {
        const auto hash = part.find('#');
        const bool last = part.size() > 1 && part.ends_with('l');
        if (hash == part.npos && !last) {
            const auto take = [&](unsigned value) { pattern.weekdays.set(value % kDaysOfWeek); };
            if (auto done = read_range(kWeekday, part, take); !done) return done;
            continue;
        }
        const auto day = value_in(kWeekday, part.substr(0, last ? part.size() - 1 : hash));
        if (!day) return Fault{day.error()};
        if (last) {
            pattern.last_weekdays.set(*day % kDaysOfWeek);
            continue;
        }
        const auto nth = value_in(kNth, part.substr(hash + 1));
        if (!nth) return Fault{nth.error()};
        pattern.nth_weekdays.at(*day % kDaysOfWeek).set(*nth);
    }
    return {};
}

unsigned last_of_month(year_month_day date)
{
    return static_cast<unsigned>((date.year() / date.month() / std::chrono::last).day());
}

bool is_workday(sys_days day)
{
    const unsigned number = weekday{day}.c_encoding();
    return number != 0 && number != 6;
}

/// The workday nearest to a day of the month, without leaving the month.
unsigned near_workday(year_month_day date, unsigned day)
{
    const unsigned last = last_of_month(date);
    if (day > last) return 0;
    for (const int off : {0, -1, 1, -2, 2}) {
        const int other = static_cast<int>(day) + off;
        if (other < 1 || other > static_cast<int>(last)) continue;
        const auto candidate =
            date.year() / date.month() / std::chrono::day{static_cast<unsigned>(other)};
        if (is_workday(sys_days{candidate})) return static_cast<unsigned>(other);
    }
    return 0;
}

bool on_day_of_month(const CronPattern& pattern, year_month_day date)
{
    const auto day = static_cast<unsigned>(date.day());
    const unsigned last = last_of_month(date);
    if (pattern.days.test(day) || (pattern.last_day && day == last)) return true;
    if (pattern.last_workday && near_workday(date, last) == day) return true;
    for (unsigned near = 1; near <= last; ++near)
        if (pattern.near_days.test(near) && near_workday(date, near) == day) return true;
    return false;
}

bool on_weekday(const CronPattern& pattern, year_month_day date)
{
    const unsigned which = weekday{sys_days{date}}.c_encoding();
    const auto day = static_cast<unsigned>(date.day());
    if (pattern.weekdays.test(which)) return true;
    if (pattern.last_weekdays.test(which) && day + kDaysOfWeek > last_of_month(date)) return true;
    return pattern.nth_weekdays.at(which).test((day - 1) / kDaysOfWeek + 1);
}

/// The calendar repeats itself after 28 years, where no century comes between.
bool has_a_date(const CronPattern& pattern)
{
    using namespace std::chrono_literals;
    const sys_days begin{2000y / 1 / 1};
    const sys_days end{2028y / 1 / 1};
    for (sys_days day = begin; day < end; day += days{1})
        if (on_date(pattern, day)) return true;
    return false;
}

} // namespace

bool on_date(const CronPattern& pattern, year_month_day date)
{
    if (!pattern.months.test(static_cast<unsigned>(date.month()))) return false;
    if (pattern.star_day || pattern.star_weekday)
        return on_day_of_month(pattern, date) && on_weekday(pattern, date);
    return on_day_of_month(pattern, date) || on_weekday(pattern, date);
}

std::expected<CronPattern, std::string> parse_cron(std::string_view text)
{
    if (text.size() > kLongest) return Fault{fmt::format("it is longer than {} bytes", kLongest)};
    std::string small = lower(text);
    const auto nickname =
        std::ranges::find(kNicknames, small, &std::pair<std::string_view, std::string_view>::first);
    if (nickname != kNicknames.end()) small = nickname->second;
    std::vector<std::string_view> fields = split(small, " \t");
    std::erase(fields, "");
    if (fields.size() == 5) fields.insert(fields.begin(), "0");
    if (fields.size() != 6)
        return Fault{fmt::format("it has {} fields instead of 5, or 6 with seconds",
                                 small.empty() ? 0 : fields.size())};

    CronPattern pattern;
    pattern.star_day = fields[3].starts_with('*') || fields[3] == "?";
    pattern.star_weekday = fields[5].starts_with('*') || fields[5] == "?";
    for (const Done& done :
         {read_field(kSecond, fields[0], pattern.seconds),
          read_field(kMinute, fields[1], pattern.minutes),
          read_field(kHour, fields[2], pattern.hours), read_days(fields[3], pattern),
          read_field(kMonth, fields[4], pattern.months), read_weekdays(fields[5], pattern)})
        if (!done) return Fault{done.error()};
    if (!has_a_date(pattern)) return Fault{"there is no such date"};
    return pattern;
}

} // namespace cluster::ipc
