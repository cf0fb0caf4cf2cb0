#include "ipc/wire/date_format.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace cluster::ipc {

enum class DateToken : unsigned char {
    literal,
    year,
    year_short,
    month,
    month_padded,
    month_short,
    month_name,
    day,
    day_padded,
    weekday,
    weekday_min,
    weekday_short,
    weekday_name,
    hour,
    hour_padded,
    hour12,
    hour12_padded,
    minute,
    minute_padded,
    second,
    second_padded,
    fraction,
    zone,
    zone_plain,
    half_upper,
    half_lower,
};

namespace {

using Token = DateToken;

struct TokenName {
    std::string_view name;
    Token token;
};

/// A longer name stands before those that it begins with.
constexpr TokenName kTokens[] = {
    {"YYYY", Token::year},
    {"YY", Token::year_short},
    {"MMMM", Token::month_name},
    {"MMM", Token::month_short},
    {"MM", Token::month_padded},
    {"M", Token::month},
    {"DD", Token::day_padded},
    {"D", Token::day},
    {"dddd", Token::weekday_name},
    {"ddd", Token::weekday_short},
    {"dd", Token::weekday_min},
    {"d", Token::weekday},
    {"HH", Token::hour_padded},
    {"H", Token::hour},
    {"hh", Token::hour12_padded},
    {"h", Token::hour12},
    {"mm", Token::minute_padded},
    {"m", Token::minute},
    {"ss", Token::second_padded},
    {"s", Token::second},
    {"SSS", Token::fraction},
    {"ZZ", Token::zone_plain},
    {"Z", Token::zone},
    {"A", Token::half_upper},
    {"a", Token::half_lower},
};

constexpr std::array<std::string_view, 12> kMonths{"January",   "February", "March",    "April",
                                                   "May",       "June",     "July",     "August",
                                                   "September", "October",  "November", "December"};
constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};

void append_number(std::int64_t number, std::size_t width, std::string& out)
{
    const std::string digits = std::to_string(number);
    if (digits.size() < width) out.append(width - digits.size(), '0');
    out += digits;
}

void append_zone(long east, std::string_view separator, std::string& out)
{
    out += east < 0 ? '-' : '+';
    const long minutes = std::labs(east) / 60;
    append_number(minutes / 60, 2, out);
    out += separator;
    append_number(minutes % 60, 2, out);
}

} // namespace

DateFormat::DateFormat(std::string_view pattern)
{
    while (!pattern.empty()) {
        const auto close = pattern.front() == '[' ? pattern.find(']') : pattern.npos;
        if (close != pattern.npos && close > 1) {
            add_literal(pattern.substr(1, close - 1));
            pattern.remove_prefix(close + 1);
            continue;
        }
        const auto* const known = std::ranges::find_if(
            kTokens, [&](const TokenName& each) { return pattern.starts_with(each.name); });
        if (known == std::end(kTokens)) {
            add_literal(pattern.substr(0, 1));
            pattern.remove_prefix(1);
            continue;
        }
        pieces_.push_back({known->token, {}});
        has_fraction_ = has_fraction_ || known->token == Token::fraction;
        pattern.remove_prefix(known->name.size());
    }
}

void DateFormat::add_literal(std::string_view text)
{
    if (pieces_.empty() || pieces_.back().token != Token::literal)
        pieces_.push_back({Token::literal, {}});
    pieces_.back().text += text;
}

void DateFormat::append(std::int64_t wall_ms, std::string& out)
{
    // Rounded down, also before 1970.
    const std::int64_t second = wall_ms / 1000 - (wall_ms % 1000 < 0 ? 1 : 0);
    const auto milliseconds = static_cast<int>(wall_ms - second * 1000);
    if (!has_second_ || second != second_ || (has_fraction_ && milliseconds != milliseconds_))
        render(second, milliseconds);
    out += rendered_;
}

std::string DateFormat::text(std::int64_t wall_ms)
{
    std::string out;
    append(wall_ms, out);
    return out;
}

void DateFormat::render(std::int64_t second, int milliseconds)
{
    if (!has_second_ || second != second_) {
        const auto time = static_cast<std::time_t>(second);
        ::localtime_r(&time, &time_);
        second_ = second;
        has_second_ = true;
    }
    milliseconds_ = milliseconds;
    rendered_.clear();
    for (const Piece& piece : pieces_)
        append_piece(piece, milliseconds, rendered_);
}

void DateFormat::append_piece(const Piece& piece, int milliseconds, std::string& out) const
{
    const auto month = kMonths.at(static_cast<std::size_t>(time_.tm_mon));
    const auto weekday = kDays.at(static_cast<std::size_t>(time_.tm_wday));
    const int hour12 = time_.tm_hour % 12 == 0 ? 12 : time_.tm_hour % 12;
    switch (piece.token) {
        // clang-format off
    case Token::literal:        out += piece.text; break;
    case Token::year:           append_number(time_.tm_year + 1900, 4, out); break;
    case Token::year_short:     append_number((time_.tm_year + 1900) % 100, 2, out); break;
    case Token::month:          append_number(time_.tm_mon + 1, 1, out); break;
    case Token::month_padded:   append_number(time_.tm_mon + 1, 2, out); break;
    case Token::month_short:    out += month.substr(0, 3); break;
    case Token::month_name:     out += month; break;
    case Token::day:            append_number(time_.tm_mday, 1, out); break;
    case Token::day_padded:     append_number(time_.tm_mday, 2, out); break;
    case Token::weekday:        append_number(time_.tm_wday, 1, out); break;
    case Token::weekday_min:    out += weekday.substr(0, 2); break;
    case Token::weekday_short:  out += weekday.substr(0, 3); break;
    case Token::weekday_name:   out += weekday; break;
    case Token::hour:           append_number(time_.tm_hour, 1, out); break;
    case Token::hour_padded:    append_number(time_.tm_hour, 2, out); break;
    case Token::hour12:         append_number(hour12, 1, out); break;
    case Token::hour12_padded:  append_number(hour12, 2, out); break;
    case Token::minute:         append_number(time_.tm_min, 1, out); break;
    case Token::minute_padded:  append_number(time_.tm_min, 2, out); break;
    case Token::second:         append_number(time_.tm_sec, 1, out); break;
    case Token::second_padded:  append_number(time_.tm_sec, 2, out); break;
    case Token::fraction:       append_number(milliseconds, 3, out); break;
    case Token::zone:           append_zone(time_.tm_gmtoff, ":", out); break;
    case Token::zone_plain:     append_zone(time_.tm_gmtoff, "", out); break;
    case Token::half_upper:     out += time_.tm_hour < 12 ? "AM" : "PM"; break;
    case Token::half_lower:     out += time_.tm_hour < 12 ? "am" : "pm"; break;
        // clang-format on
    }
}

} // namespace cluster::ipc
