#include "cli/log_filter.hpp"

#include <charconv>
#include <ctime>
#include <string>

namespace cluster::cli {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::int64_t kMostDays = 400 * 365; ///< an age beyond it is a slip of the finger

/// Takes what it understands off the front of a text.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_{text} {}

    [[nodiscard]] bool done() const { return text_.empty(); }

    bool take(char c)
    {
        if (!text_.starts_with(c)) return false;
        text_.remove_prefix(1);
        return true;
    }

    /// Exactly `digits` of them, a number from `least` to `most`.
    bool take(std::size_t digits, int least, int most, int& into)
    {
        if (text_.size() < digits) return false;
        const auto number = whole(text_.substr(0, digits));
        if (!number || *number < least || *number > most) return false;
        into = static_cast<int>(*number);
        text_.remove_prefix(digits);
        return true;
    }

    /// As many digits as there are, at least one.
    std::optional<std::int64_t> take_number()
    {
        const auto digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
        const auto number = whole(text_.substr(0, digits));
        text_.remove_prefix(digits);
        return number;
    }

private:
    static std::optional<std::int64_t> whole(std::string_view text)
    {
        if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
        std::int64_t value = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (code != std::errc{}) return std::nullopt;
        return value;
    }

    std::string_view text_;
};

std::optional<std::int64_t> unit_of(Scanner& scanner)
{
    if (scanner.take('s')) return kSecond;
    if (scanner.take('m')) return kMinute;
    if (scanner.take('h')) return kHour;
    if (scanner.take('d')) return kDay;
    if (scanner.take('w')) return 7 * kDay;
    return std::nullopt;
}

/// "1h30m"
std::optional<std::int64_t> parse_age(Scanner scanner)
{
    std::int64_t age = 0;
    do {
        const auto number = scanner.take_number();
        const auto unit = unit_of(scanner);
        if (!number || !unit || *number > kMostDays * kDay / *unit) return std::nullopt;
        age += *number * *unit;
    } while (!scanner.done());
    return age;
}

struct TimeOfDay {
    int hour = 0;
    int minute = 0;
    int second = 0;
    int milliseconds = 0;
};

/// "14:30", "14:30:05", "14:30:05.250"
bool take_time(Scanner& scanner, TimeOfDay& time)
{
    if (!scanner.take(2, 0, 23, time.hour) || !scanner.take(':')) return false;
    if (!scanner.take(2, 0, 59, time.minute)) return false;
    if (!scanner.take(':')) return true;
    if (!scanner.take(2, 0, 60, time.second)) return false;
    return !scanner.take('.') || scanner.take(3, 0, 999, time.milliseconds);
}

/// "Z", "+01:00", "-0330": seconds east of Greenwich.
std::optional<long> take_zone(Scanner& scanner)
{
    if (scanner.take('Z')) return 0;
    const bool west = scanner.take('-');
    if (!west && !scanner.take('+')) return std::nullopt;
    int hours = 0;
    int minutes = 0;
    if (!scanner.take(2, 0, 14, hours)) return std::nullopt;
    scanner.take(':');
    if (!scanner.take(2, 0, 59, minutes)) return std::nullopt;
    const long seconds = (hours * 60L + minutes) * 60L;
    return west ? -seconds : seconds;
}

void set_time(std::tm& parts, const TimeOfDay& time)
{
    parts.tm_hour = time.hour;
    parts.tm_min = time.minute;
    parts.tm_sec = time.second;
    parts.tm_isdst = -1; // whichever holds then
}

std::optional<std::int64_t> parse_date(Scanner scanner)
{
    int year = 0;
    int month = 0;
    std::tm parts{};
    if (!scanner.take(4, 1970, 9999, year) || !scanner.take('-')) return std::nullopt;
    if (!scanner.take(2, 1, 12, month) || !scanner.take('-')) return std::nullopt;
    if (!scanner.take(2, 1, 31, parts.tm_mday)) return std::nullopt;
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    TimeOfDay time;
    std::optional<long> zone;
    if (scanner.take('T') || scanner.take(' ')) {
        if (!take_time(scanner, time)) return std::nullopt;
        if (!scanner.done()) zone = take_zone(scanner);
    }
    if (!scanner.done()) return std::nullopt;
    const int day = parts.tm_mday;
    set_time(parts, time);
    const std::time_t seconds = zone ? ::timegm(&parts) - *zone : std::mktime(&parts);
    if (parts.tm_mday != day) return std::nullopt; // 31 February
    return seconds * kSecond + time.milliseconds;
}

/// Today's, or yesterday's when that is yet to come.
std::optional<std::int64_t> parse_time_of_day(Scanner scanner, std::int64_t now_ms)
{
    TimeOfDay time;
    if (!take_time(scanner, time) || !scanner.done()) return std::nullopt;
    const auto now = static_cast<std::time_t>(now_ms / kSecond);
    std::tm parts{};
    ::localtime_r(&now, &parts);
    set_time(parts, time);
    std::time_t seconds = std::mktime(&parts);
    if (seconds > now) {
        --parts.tm_mday;
        set_time(parts, time);
        seconds = std::mktime(&parts);
    }
    return seconds * kSecond + time.milliseconds;
}

} // namespace

std::optional<std::int64_t> parse_moment(std::string_view text, std::int64_t now_ms)
{
    const Scanner scanner{text};
    if (const auto age = parse_age(scanner)) return now_ms - *age;
    if (const auto time = parse_time_of_day(scanner, now_ms)) return time;
    return parse_date(scanner);
}

} // namespace cluster::cli
