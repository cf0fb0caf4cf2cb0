#include "supervisor/core/log_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <iterator>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kShortLine = 1024;

struct Moment {
    std::tm local{};
    int ms = 0;
};

constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};

std::string_view month(const Moment& at)
{
    return kMonths[static_cast<std::size_t>(at.local.tm_mon)];
}

std::string_view day(const Moment& at)
{
    return kDays[static_cast<std::size_t>(at.local.tm_wday)];
}

int hour_of_twelve(const Moment& at)
{
    const int hour = at.local.tm_hour % 12;
    return hour == 0 ? 12 : hour;
}

void two(std::string& out, int number)
{
    fmt::format_to(std::back_inserter(out), "{:02}", number);
}

void plain(std::string& out, int number)
{
    fmt::format_to(std::back_inserter(out), "{}", number);
}

void offset(std::string& out, const Moment& at, std::string_view between)
{
    const auto minutes = at.local.tm_gmtoff / 60;
    const auto size = minutes < 0 ? -minutes : minutes;
    fmt::format_to(std::back_inserter(out), "{}{:02}{}{:02}", minutes < 0 ? '-' : '+', size / 60,
                   between, size % 60);
}

struct Token {
    std::string_view name;
    void (*append)(std::string& out, const Moment& at);
};

// Longer ones before their beginnings. dayjs, "Format".
// clang-format off
constexpr Token kTokens[] = {
    {"YYYY", [](std::string& out, const Moment& at) { fmt::format_to(std::back_inserter(out), "{:04}", at.local.tm_year + 1900); }},
    {"YY",   [](std::string& out, const Moment& at) { two(out, (at.local.tm_year + 1900) % 100); }},
    {"MMMM", [](std::string& out, const Moment& at) { out += month(at); }},
    {"MMM",  [](std::string& out, const Moment& at) { out += month(at).substr(0, 3); }},
    {"MM",   [](std::string& out, const Moment& at) { two(out, at.local.tm_mon + 1); }},
    {"M",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_mon + 1); }},
    {"DD",   [](std::string& out, const Moment& at) { two(out, at.local.tm_mday); }},
    {"D",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_mday); }},
    {"dddd", [](std::string& out, const Moment& at) { out += day(at); }},
    {"ddd",  [](std::string& out, const Moment& at) { out += day(at).substr(0, 3); }},
    {"dd",   [](std::string& out, const Moment& at) { out += day(at).substr(0, 2); }},
    {"d",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_wday); }},
    {"HH",   [](std::string& out, const Moment& at) { two(out, at.local.tm_hour); }},
    {"H",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_hour); }},
    {"hh",   [](std::string& out, const Moment& at) { two(out, hour_of_twelve(at)); }},
    {"h",    [](std::string& out, const Moment& at) { plain(out, hour_of_twelve(at)); }},
    {"mm",   [](std::string& out, const Moment& at) { two(out, at.local.tm_min); }},
    {"m",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_min); }},
    {"SSS",  [](std::string& out, const Moment& at) { fmt::format_to(std::back_inserter(out), "{:03}", at.ms); }},
    {"ss",   [](std::string& out, const Moment& at) { two(out, at.local.tm_sec); }},
    {"s",    [](std::string& out, const Moment& at) { plain(out, at.local.tm_sec); }},
    {"ZZ",   [](std::string& out, const Moment& at) { offset(out, at, ""); }},
    {"Z",    [](std::string& out, const Moment& at) { offset(out, at, ":"); }},
    {"A",    [](std::string& out, const Moment& at) { out += at.local.tm_hour < 12 ? "AM" : "PM"; }},
    {"a",    [](std::string& out, const Moment& at) { out += at.local.tm_hour < 12 ? "am" : "pm"; }},
};
// clang-format on

/// The seconds round down before 1970, too.
std::pair<std::time_t, int> split(std::int64_t wall_ms)
{
    const auto ms = static_cast<int>(((wall_ms % 1000) + 1000) % 1000);
    return {static_cast<std::time_t>((wall_ms - ms) / 1000), ms};
}

/// Copies what stands in JSON as it is from the front of `text`, and answers how many bytes that
/// were. Sixteen at a time: a line has a hundred. `to` has room for all of `text`.
std::size_t copy_simple(char* to, std::string_view text)
{
    // Signed: what is no ASCII is below a space, too.
    using Bytes [[gnu::vector_size(16)]] = signed char;
    static_assert(std::endian::native == std::endian::little);
    std::size_t at = 0;
    for (Bytes bytes; at + sizeof bytes <= text.size(); at += sizeof bytes) {
        std::memcpy(&bytes, text.data() + at, sizeof bytes);
        std::memcpy(to + at, &bytes, sizeof bytes);
        const auto [low, high] = std::bit_cast<std::array<std::uint64_t, 2>>(
            (bytes < ' ') | (bytes == '"') | (bytes == '\\'));
        if (low != 0) return at + static_cast<std::size_t>(std::countr_zero(low)) / 8;
        if (high != 0) return at + 8 + static_cast<std::size_t>(std::countr_zero(high)) / 8;
    }
    for (; at < text.size(); ++at) {
        const auto byte = static_cast<signed char>(text[at]);
        if (byte < ' ' || byte == '"' || byte == '\\') break;
        to[at] = text[at];
    }
    return at;
}

/// Bytes of the UTF-8 character at the front of `text`; 0 when there is none (RFC 3629).
std::size_t character(std::string_view text)
{
    const auto at = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
    const unsigned char first = at(0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xc2 && first < 0xe0   ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
    if (size == 0 || text.size() < size) return 0;
    for (std::size_t index = 1; index < size; ++index)
        if ((at(index) & 0xc0U) != 0x80) return 0;
    const unsigned char second = at(1);
    const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return bad ? 0 : size;
}

/// Appends what stands for the character at the front of `text`, which is not simple; answers its
/// size.
std::size_t append_escaped(std::string& out, std::string_view text)
{
    constexpr std::pair<char, char> kShort[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                                {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    const auto* const known = std::ranges::find(kShort, text[0], &std::pair<char, char>::first);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (known != std::end(kShort)) {
        out += '\\';
        out += known->second;
        return 1;
    }
    if (byte < 0x20) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
        return 1;
    }
    const std::size_t size = character(text);
    if (size == 0) return out += "\xEF\xBF\xBD", 1;
    out += text.substr(0, size);
    return size;
}

/// A JSON string between its quotes.
void append_inside(std::string& out, std::string_view text)
{
    while (!text.empty()) {
        std::size_t copied = 0;
        const std::size_t size = out.size();
        out.resize_and_overwrite(size + text.size(), [&](char* data, std::size_t) {
            copied = copy_simple(data + size, text);
            return size + copied;
        });
        text.remove_prefix(copied);
        if (!text.empty()) text.remove_prefix(append_escaped(out, text));
    }
}

} // namespace

DateFormat::DateFormat(std::string_view pattern)
{
    const auto add_literal = [&](std::string_view text) {
        if (pieces_.empty() || pieces_.back().token >= 0) pieces_.emplace_back();
        pieces_.back().literal += text;
    };
    while (!pattern.empty()) {
        const auto closing = pattern[0] == '[' ? pattern.find(']') : pattern.npos;
        if (closing != pattern.npos) {
            add_literal(pattern.substr(1, closing - 1));
            pattern.remove_prefix(closing + 1);
            continue;
        }
        const auto* const token = std::ranges::find_if(
            kTokens, [&](const Token& row) { return pattern.starts_with(row.name); });
        if (token == std::end(kTokens)) {
            add_literal(pattern.substr(0, 1));
            pattern.remove_prefix(1);
            continue;
        }
        pieces_.push_back({.token = static_cast<int>(token - std::begin(kTokens)), .literal = {}});
        shows_milliseconds_ = shows_milliseconds_ || token->name == "SSS";
        pattern.remove_prefix(token->name.size());
    }
}

void DateFormat::append(std::string& out, std::int64_t wall_ms) const
{
    const auto [seconds, ms] = split(wall_ms);
    Moment at{.ms = ms};
    ::localtime_r(&seconds, &at.local);
    for (const Piece& piece : pieces_) {
        if (piece.token < 0)
            out += piece.literal;
        else
            kTokens[piece.token].append(out, at);
    }
}

void append_iso_date(std::string& out, std::int64_t wall_ms)
{
    const auto [seconds, ms] = split(wall_ms);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                   utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                   utc.tm_sec, ms);
}

void append_json_string(std::string& out, std::string_view text)
{
    out += '"';
    append_inside(out, text);
    out += '"';
}

LineFormat::LineFormat(LineStyle style) : style_{std::move(style)}, date_{style_.date_format}
{
    if (!style_.json) return;
    tail_ = fmt::format(R"(,"type":"{}","process_id":{},"app_name":)", style_.error ? "err" : "out",
                        style_.process_id);
    append_json_string(tail_, style_.app_name);
    tail_ += "}\n";
}

/// A batch every millisecond at most, thousands of lines each: what they share is formed once.
void LineFormat::remember(std::int64_t wall_ms)
{
    const bool exact = style_.json ? style_.date_format.empty() || date_.shows_milliseconds()
                                   : date_.shows_milliseconds();
    const std::int64_t moment = exact ? wall_ms : wall_ms / 1000;
    if (std::exchange(head_at_, moment) == moment) return;
    head_.clear();
    if (!style_.json) {
        date_.append(head_, wall_ms);
        head_ += ": ";
        return;
    }
    std::string date;
    if (style_.date_format.empty())
        append_iso_date(date, wall_ms);
    else
        date_.append(date, wall_ms);
    head_ = R"(","timestamp":)";
    append_json_string(head_, date);
    head_ += tail_;
}

std::string_view LineFormat::head(std::int64_t wall_ms)
{
    if (style_.json || style_.plain()) return {};
    remember(wall_ms);
    return head_;
}

std::size_t LineFormat::append(std::string& out, std::string_view bytes, std::int64_t wall_ms,
                               std::size_t most)
{
    if (style_.plain()) {
        out += bytes;
        return bytes.size();
    }
    remember(wall_ms);
    return style_.json ? append_objects(out, bytes, most) : append_dated(out, bytes, most);
}

std::size_t LineFormat::append_dated(std::string& out, std::string_view bytes,
                                     std::size_t most) const
{
    std::size_t begin = 0;
    while (true) {
        const auto newline = bytes.find('\n', begin);
        const std::size_t end = newline == bytes.npos ? bytes.size() : newline + 1;
        out += bytes.substr(begin, end - begin);
        begin = end;
        if (begin == bytes.size() || out.size() >= most) return begin;
        out += head_;
    }
}

std::size_t LineFormat::append_objects(std::string& out, std::string_view bytes,
                                       std::size_t most) const
{
    constexpr std::string_view open = R"({"message":")";
    std::size_t begin = 0;
    while (begin < bytes.size() && out.size() < most) {
        // Most lines are short, and end with the first byte that is not simple.
        const std::string_view front = bytes.substr(begin, kShortLine);
        const std::size_t size = out.size();
        bool ended = false;
        const auto write = [&](char* data, std::size_t) {
            char* at = data + size;
            at += open.copy(at, open.size());
            const std::size_t copied = copy_simple(at, front);
            at += copied;
            begin += copied;
            ended = begin == bytes.size() || bytes[begin] == '\n';
            if (ended) at += head_.copy(at, head_.size());
            return static_cast<std::size_t>(at - data);
        };
        out.resize_and_overwrite(size + open.size() + front.size() + head_.size(), write);
        if (!ended) {
            const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
            append_inside(out, bytes.substr(begin, end - begin));
            out += head_;
            begin = end;
        }
        begin = std::min(begin + 1, bytes.size());
    }
    return begin;
}

} // namespace cluster::supervisor
