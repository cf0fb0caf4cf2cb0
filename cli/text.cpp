#include "cli/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace cluster::cli {
namespace {

struct CodePoint {
    char32_t value = 0;
    std::size_t size = 1; ///< bytes
    bool valid = false;   ///< false: one byte that starts no UTF-8 sequence
};

/// The code point at the start of `text`, which is not empty (RFC 3629: shortest form, no
/// surrogates, at most U+10FFFF).
CodePoint decode(std::string_view text)
{
    const auto byte = [&](std::size_t at) {
        return static_cast<char32_t>(static_cast<unsigned char>(text[at]));
    };
    const char32_t lead = byte(0);
    if (lead < 0x80) return {lead, 1, true};
    const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {lead, 1, false};
    char32_t value = lead & (0xFFU >> (size + 1));
    for (std::size_t at = 1; at < size; ++at) {
        if ((byte(at) & 0xC0U) != 0x80) return {lead, 1, false};
        value = (value << 6U) | (byte(at) & 0x3FU);
    }
    constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < kSmallest[size] || value > 0x10FFFF || surrogate) return {lead, 1, false};
    return {value, size, true};
}

struct Range {
    char32_t first;
    char32_t last;
};

// Unicode's combining marks and format characters that occur in practice.
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489},   {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
    {0x202A, 0x202E}, {0x2060, 0x206F},   {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
    {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF},
};

// East Asian wide and fullwidth (UAX #11), and emoji shown as pictures.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},
    {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},
    {0x267F, 0x267F},   {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},
    {0x26BD, 0x26BE},   {0x26C4, 0x26C5},   {0x26CE, 0x26CE},   {0x26D4, 0x26D4},
    {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},   {0x26FA, 0x26FA},
    {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},
    {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},
    {0x2795, 0x2797},   {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},
    {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
    {0xFFE0, 0xFFE6},   {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E},
    {0x1F191, 0x1F19A}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C},
    {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0},
    {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC},
    {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596},
    {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F}, {0x1F680, 0x1F6C5}, {0x1F6CC, 0x1F6CC},
    {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6DF}, {0x1F6EB, 0x1F6FC}, {0x1F7E0, 0x1F7F0},
    {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};

template <std::size_t N>
bool in(const Range (&table)[N], char32_t value)
{
    const auto* found = std::ranges::lower_bound(table, value, {}, &Range::last);
    return found != std::end(table) && value >= found->first;
}

std::size_t width_of(const CodePoint& point)
{
    if (!point.valid) return 1;
    if (point.value < 0x300) return 1;
    if (in(kZeroWidth, point.value)) return 0;
    return in(kWide, point.value) ? 2 : 1;
}

/// Characters that a terminal obeys instead of showing.
bool is_control(char32_t value)
{
    return value < 0x20 || (value >= 0x7F && value < 0xA0) ||
           (value >= 0x202A && value <= 0x202E) || (value >= 0x2066 && value <= 0x2069);
}

} // namespace

std::string paint(std::string_view text, Colour colour, const Style& style)
{
    if (!style.colour || colour == Colour::none) return std::string{text};
    constexpr int kCodes[] = {0, 1, 31, 32, 33, 36, 90, 34, 35, 7};
    return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<int>(colour)], text);
}

std::size_t display_width(std::string_view text)
{
    std::size_t width = 0;
    while (!text.empty()) {
        const CodePoint point = decode(text);
        width += width_of(point);
        text.remove_prefix(point.size);
    }
    return width;
}

std::string fit(std::string_view text, std::size_t width, bool utf8)
{
    if (display_width(text) <= width) return std::string{text};
    if (width == 0) return {};
    std::string kept;
    std::size_t used = 1; // the mark
    while (!text.empty()) {
        const CodePoint point = decode(text);
        used += width_of(point);
        if (used > width) break;
        kept += text.substr(0, point.size);
        text.remove_prefix(point.size);
    }
    return kept + (utf8 ? "…" : "~");
}

std::string pad(std::string_view text, std::size_t width)
{
    const std::size_t taken = display_width(text);
    std::string padded{text};
    if (taken < width) padded.append(width - taken, ' ');
    return padded;
}

std::string escape_controls(std::string_view text, bool keep_tabs)
{
    std::string safe;
    safe.reserve(text.size());
    while (!text.empty()) {
        const CodePoint point = decode(text);
        const bool harmless = point.valid && !is_control(point.value);
        if (harmless || (keep_tabs && point.value == '\t'))
            safe += text.substr(0, point.size);
        else if (point.value == '\n')
            safe += "\\n";
        else if (point.value < 0x100)
            safe += fmt::format("\\x{:02x}", static_cast<unsigned>(point.value));
        else
            safe += fmt::format("\\u{:04x}", static_cast<unsigned>(point.value));
        text.remove_prefix(point.size);
    }
    return safe;
}

std::string safe_log_line(std::string_view line)
{
    std::string safe;
    bool coloured = false;
    while (!line.empty()) {
        const auto escape = line.find("\x1b[");
        const auto end =
            escape == line.npos ? escape : line.find_first_not_of("0123456789;:", escape + 2);
        if (end == line.npos) break;
        const bool is_colour = line[end] == 'm';
        const std::size_t taken = is_colour ? end + 1 : escape + 2;
        safe += escape_controls(line.substr(0, is_colour ? escape : taken), true);
        if (is_colour) safe += line.substr(escape, taken - escape);
        coloured = coloured || is_colour;
        line.remove_prefix(taken);
    }
    safe += escape_controls(line, true);
    return coloured ? safe + "\x1b[0m" : safe;
}

std::string format_bytes(std::uint64_t bytes)
{
    if (bytes < 1024) return fmt::format("{}b", bytes);
    auto value = static_cast<double>(bytes) / 1024;
    const char* unit = "kb";
    for (const char* next : {"mb", "gb"}) {
        if (value < 1024) break;
        value /= 1024;
        unit = next;
    }
    return fmt::format("{:.1f}{}", value, unit);
}

std::string format_age(std::int64_t milliseconds)
{
    const std::int64_t seconds = std::max<std::int64_t>(milliseconds, 0) / 1000;
    if (seconds < 60) return fmt::format("{}s", seconds);
    if (seconds < 3600) return fmt::format("{}m", seconds / 60);
    if (seconds < 86400) return fmt::format("{}h", seconds / 3600);
    return fmt::format("{}D", seconds / 86400);
}

std::string format_duration(std::int64_t milliseconds)
{
    if (milliseconds < 2000 || milliseconds % 1000 != 0) return fmt::format("{} ms", milliseconds);
    return fmt::format("{} s", milliseconds / 1000);
}

std::string format_time(std::int64_t wall_ms)
{
    if (wall_ms == 0) return {};
    const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       wall_ms % 1000);
}

} // namespace cluster::cli
