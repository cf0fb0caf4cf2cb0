#include "ipc/wire/units.hpp"

#include <sys/resource.h>

#include <string.h> // NOLINT(modernize-deprecated-headers): sigabbrev_np is GNU's, not in <cstring>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <utility>

namespace cluster::ipc {
namespace {

template <class Number>
std::optional<Number> whole(std::string_view text, int base = 10)
{
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value, base);
    if (code != std::errc{} || stop != end || text.empty()) return std::nullopt;
    return value;
}

char upper(char c)
{
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

std::string upper(std::string_view text)
{
    std::string out{text};
    std::ranges::transform(out, out.begin(), [](char c) { return upper(c); });
    return out;
}

/// Splits "300MB" into 300 and "MB".
std::optional<std::pair<std::uint64_t, std::string_view>> number_and_unit(std::string_view text)
{
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = whole<std::uint64_t>(text.substr(0, digits));
    if (!number) return std::nullopt;
    return std::pair{*number, text.substr(digits)};
}

/// number × factor, unless it is more than `most`.
std::optional<std::uint64_t> scaled(std::uint64_t number, std::uint64_t factor, std::uint64_t most)
{
    if (number > most / factor) return std::nullopt;
    return number * factor;
}

/// Optimal string alignment distance.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t differs = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + differs});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

struct RlimitName {
    std::string_view name;
    int resource;
};
constexpr RlimitName kRlimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

} // namespace

std::optional<std::int64_t> parse_whole(std::string_view text)
{
    return whole<std::int64_t>(text);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text)
{
    struct Unit {
        std::string_view name;
        std::uint64_t milliseconds;
    };
    constexpr Unit kUnits[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
    const auto parts = number_and_unit(text);
    if (!parts) return std::nullopt;
    const auto* const unit = std::ranges::find(kUnits, parts->second, &Unit::name);
    if (unit == std::end(kUnits)) return std::nullopt;
    const auto ms =
        scaled(parts->first, unit->milliseconds, std::numeric_limits<std::int64_t>::max());
    if (!ms) return std::nullopt;
    return std::chrono::milliseconds{static_cast<std::int64_t>(*ms)};
}

std::optional<std::uint64_t> parse_bytes(std::string_view text)
{
    const auto parts = number_and_unit(text);
    if (!parts) return std::nullopt;
    std::string unit = upper(parts->second);
    if (unit.size() == 2 && unit[1] == 'B') unit.pop_back();
    constexpr std::string_view kPrefixes = "KMG";
    if (unit.size() > 1 || (unit.size() == 1 && !kPrefixes.contains(unit[0]))) return std::nullopt;
    const std::size_t power = unit.empty() ? 0 : kPrefixes.find(unit[0]) + 1;
    return scaled(parts->first, std::uint64_t{1} << (10 * power),
                  std::numeric_limits<std::int64_t>::max());
}

std::optional<int> parse_signal(std::string_view text)
{
    constexpr int kLast = 64; // SIGRTMAX of Linux
    if (const auto number = parse_whole(text))
        return *number >= 1 && *number <= kLast ? std::optional{static_cast<int>(*number)}
                                                : std::nullopt;
    std::string name = upper(text);
    if (name.starts_with("SIG")) name.erase(0, 3);
    for (int number = 1; number <= kLast; ++number)
        if (const char* const known = sigabbrev_np(number); known != nullptr && name == known)
            return number;
    return std::nullopt;
}

std::optional<int> rlimit_resource(std::string_view name)
{
    const auto* const found = std::ranges::find(kRlimits, name, &RlimitName::name);
    return found == std::end(kRlimits) ? std::nullopt : std::optional{found->resource};
}

std::vector<std::string_view> rlimit_names()
{
    std::vector<std::string_view> names;
    for (const RlimitName& row : kRlimits)
        names.push_back(row.name);
    return names;
}

std::string signal_name(int number)
{
    if (const char* const known = sigabbrev_np(number)) return std::string{"SIG"} + known;
    return std::to_string(number);
}

std::optional<unsigned> parse_octal(std::string_view text)
{
    if (text.starts_with("0o") || text.starts_with("0O")) text.remove_prefix(2);
    const auto bits = whole<unsigned>(text, 8);
    if (!bits || *bits > 0777) return std::nullopt;
    return bits;
}

bool is_utf8(std::string_view text)
{
    for (std::size_t at = 0; at < text.size();) {
        const auto first = static_cast<unsigned char>(text[at]);
        const std::size_t more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if ((first >= 0x80 && first < 0xC2) || first > 0xF4) return false;
        if (text.size() - at <= more) return false;
        char32_t point = more == 0 ? first : first & (0x3F >> more);
        for (std::size_t i = 1; i <= more; ++i) {
            const auto next = static_cast<unsigned char>(text[at + i]);
            if ((next & 0xC0) != 0x80) return false;
            point = (point << 6) | (next & 0x3F);
        }
        const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
        const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
        if (overlong || surrogate || point > 0x10FFFF) return false;
        at += more + 1;
    }
    return true;
}

std::optional<std::vector<std::string>> split_words(std::string_view text)
{
    std::vector<std::string> words;
    bool in_word = false; // a pair of quotes with nothing between is a word too
    char quote = '\0';
    for (const char c : text) {
        if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            in_word = false;
            continue;
        }
        if (!in_word) words.emplace_back();
        in_word = true;
        if (quote != '\0' && c == quote)
            quote = '\0';
        else if (quote == '\0' && (c == '\'' || c == '"'))
            quote = c;
        else
            words.back() += c;
    }
    if (quote != '\0') return std::nullopt;
    return words;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known)
{
    constexpr std::size_t kLongest = 64; // the table is quadratic, and no attribute is that long
    if (word.size() > kLongest) return {};
    std::string_view best;
    std::size_t least = 1 + std::max<std::size_t>(1, word.size() / 3);
    for (const std::string_view candidate : known) {
        const std::size_t d = distance(word, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

} // namespace cluster::ipc
