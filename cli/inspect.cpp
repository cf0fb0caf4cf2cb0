// Follows lib/internal/util/inspect.js of Node 20 (formatValue, reduceToSingleString,
// groupArrayElements) for the values that JSON can hold. Lengths count UTF-16 units, as there.
#include "cli/inspect.hpp"

#include "cli/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::cli {
namespace {

using Json = nlohmann::ordered_json;
using Entries = std::vector<std::string>;

constexpr std::size_t kBreakLength = 80;
constexpr int kCompact = 3;
constexpr std::size_t kMaxArrayLength = 100;
constexpr std::size_t kMaxStringLength = 10'000;
constexpr std::size_t kMinLineLength = 16;

/// Bytes of the UTF-8 sequence that starts with `lead`.
std::size_t sequence_size(char lead)
{
    const auto byte = static_cast<unsigned char>(lead);
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

std::size_t utf16_length(std::string_view text)
{
    std::size_t length = 0;
    for (std::size_t at = 0; at < text.size(); at += sequence_size(text[at]))
        length += sequence_size(text[at]) == 4 ? 2 : 1;
    return length;
}

/// The first `units` UTF-16 units.
std::string_view utf16_prefix(std::string_view text, std::size_t units)
{
    std::size_t at = 0;
    for (std::size_t taken = 0; at < text.size() && taken < units; at += sequence_size(text[at]))
        taken += sequence_size(text[at]) == 4 ? 2 : 1;
    return text.substr(0, at);
}

std::string escaped(unsigned char c)
{
    switch (c) {
    case '\b':
        return "\\b";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    default:
        return fmt::format("\\x{:02X}", c);
    }
}

/// Quotes as Node's strEscape: ' unless the text holds one, then ", then `.
std::string quoted_text(std::string_view text)
{
    const auto holds = [&](std::string_view part) { return text.find(part) != text.npos; };
    char quote = '\'';
    if (holds("'")) {
        if (!holds("\""))
            quote = '"';
        else if (!holds("`") && !holds("${"))
            quote = '`';
    }
    std::string out{quote};
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto c = static_cast<unsigned char>(text[at]);
        const auto next = at + 1 < text.size() ? static_cast<unsigned char>(text[at + 1]) : 0;
        if (c == '\\' || (c == '\'' && quote == '\''))
            out += {'\\', text[at]};
        else if (c < 0x20 || c == 0x7F)
            out += escaped(c);
        else if (c == 0xC2 && next < 0xA0) // U+0080 to U+009F
            out += escaped(static_cast<unsigned char>(text[++at]));
        else
            out += text[at];
    }
    return out + quote;
}

bool is_identifier(std::string_view key)
{
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return !key.empty() && letter(key[0]) &&
           std::ranges::all_of(key, [&](char c) { return letter(c) || digit(c); });
}

std::string key_text(const std::string& key)
{
    if (key == "__proto__") return "['__proto__']";
    return is_identifier(key) ? key : quoted_text(key);
}

/// JavaScript's Number::toString: the shortest digits that read back the same, without an exponent
/// between 1e-6 and 1e21.
std::string number_text(const Json& value)
{
    if (!value.is_number_float()) return value.dump();
    std::string text = fmt::format("{}", value.get<double>()); // shortest; "1.5e-07", "1e+20", "12"
    const auto mark = text.find('e');
    if (mark == text.npos) return text;

    const int exponent = std::stoi(text.substr(mark + 1));
    const std::string sign = text.starts_with('-') ? "-" : "";
    std::string digits = text.substr(sign.size(), mark - sign.size());
    if (exponent < -6 || exponent >= 21) return fmt::format("{}{}e{:+}", sign, digits, exponent);
    std::erase(digits, '.');
    if (exponent < 0)
        return fmt::format("{}0.{}{}", sign,
                           std::string(static_cast<std::size_t>(-exponent - 1), '0'), digits);
    const auto whole = static_cast<std::size_t>(exponent) + 1; // digits before the point
    if (digits.size() < whole) digits.append(whole - digits.size(), '0');
    if (digits.size() > whole) digits.insert(whole, ".");
    return sign + digits;
}

class Inspector {
public:
    std::string value(const Json& json, int depth)
    {
        if (json.is_string()) return string(json.get_ref<const std::string&>());
        if (json.is_number()) return number_text(json);
        if (!json.is_structured()) return json.is_null() ? "null" : json.dump();
        if (json.empty()) return json.is_array() ? "[]" : "{}";
        current_depth_ = depth;
        return json.is_array() ? array(json, depth) : object(json, depth);
    }

private:
    std::string string(std::string_view text)
    {
        std::string trailer;
        if (const std::size_t length = utf16_length(text); length > kMaxStringLength) {
            const std::size_t more = length - kMaxStringLength;
            text = utf16_prefix(text, kMaxStringLength);
            trailer = fmt::format("... {} more character{}", more, more > 1 ? "s" : "");
        }
        const std::size_t length = utf16_length(text);
        if (length <= kMinLineLength || length + indentation_ + 4 <= kBreakLength)
            return quoted_text(text) + trailer;
        std::string out;
        while (!text.empty()) {
            const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
            if (!out.empty()) out += " +\n" + std::string(indentation_ + 2, ' ');
            out += quoted_text(text.substr(0, end));
            text.remove_prefix(end);
        }
        return out + trailer;
    }

    std::string object(const Json& json, int depth)
    {
        Entries entries;
        for (const auto& [key, item] : json.items()) {
            indentation_ += 2;
            entries.push_back(key_text(key) + ": " + value(item, depth + 1));
            indentation_ -= 2;
        }
        return reduce(std::move(entries), '{', '}', depth, nullptr);
    }

    std::string array(const Json& json, int depth)
    {
        Entries entries;
        for (std::size_t at = 0; at < std::min(json.size(), kMaxArrayLength); ++at) {
            indentation_ += 2;
            entries.push_back(value(json[at], depth + 1));
            indentation_ -= 2;
        }
        if (json.size() > kMaxArrayLength) {
            const std::size_t more = json.size() - kMaxArrayLength;
            entries.push_back(fmt::format("... {} more item{}", more, more > 1 ? "s" : ""));
        }
        return reduce(std::move(entries), '[', ']', depth, &json);
    }

    /// One line if the entries are few, shallow and short, else one line per entry.
    std::string reduce(Entries entries, char open, char close, int depth, const Json* array)
    {
        const std::size_t count = entries.size();
        if (array != nullptr && count > 6) entries = grouped(std::move(entries), *array);
        const bool untouched = entries.size() == count;
        if (current_depth_ - depth < kCompact && untouched && short_enough(entries)) {
            const std::string joined = fmt::format("{}", fmt::join(entries, ", "));
            if (joined.find('\n') == std::string::npos)
                return fmt::format("{} {} {}", open, joined, close);
        }
        const std::string line = "\n" + std::string(indentation_, ' ');
        const std::string separator = "," + line + "  ";
        return fmt::format("{}{}  {}{}{}", open, line, fmt::join(entries, separator), line, close);
    }

    [[nodiscard]] bool short_enough(const Entries& entries) const
    {
        std::size_t total = 2 * entries.size() + indentation_ + 1 + 10;
        for (const std::string& entry : entries)
            total += utf16_length(entry);
        return total <= kBreakLength;
    }

    [[nodiscard]] std::size_t column_count(const std::vector<std::size_t>& widths,
                                           std::size_t entries) const
    {
        constexpr std::size_t kSeparator = 2;
        std::size_t total = 0;
        std::size_t longest = 0;
        for (const std::size_t width : widths) {
            total += width + kSeparator;
            longest = std::max(longest, width);
        }
        const std::size_t widest = longest + kSeparator;
        const auto ratio = static_cast<double>(total) / static_cast<double>(widest);
        if (widest * 3 + indentation_ >= kBreakLength || (ratio <= 5 && longest > 6)) return 1;
        const auto widest_d = static_cast<double>(widest);
        const double bias =
            std::sqrt(widest_d - static_cast<double>(total) / static_cast<double>(entries));
        const double biased = std::max(widest_d - 3 - bias, 1.0);
        // Node draws about a square: a character is 2.5 times as high as wide.
        const double square = std::sqrt(2.5 * biased * static_cast<double>(widths.size())) / biased;
        return std::min({static_cast<std::size_t>(std::floor(square + 0.5)),
                         (kBreakLength - indentation_) / widest, std::size_t{kCompact * 4},
                         std::size_t{15}});
    }

    /// Entries of an array in aligned columns; unchanged when columns would not help.
    [[nodiscard]] Entries grouped(Entries entries, const Json& array) const
    {
        const bool more = entries.size() > kMaxArrayLength;
        const std::size_t count = entries.size() - (more ? 1 : 0);
        std::vector<std::size_t> widths;
        for (std::size_t at = 0; at < count; ++at)
            widths.push_back(display_width(entries[at]));
        const std::size_t columns = column_count(widths, entries.size());
        if (columns <= 1) return entries;

        std::vector<std::size_t> longest(columns, 0);
        for (std::size_t at = 0; at < count; ++at)
            longest[at % columns] = std::max(longest[at % columns], widths[at]);
        const bool numbers =
            std::ranges::all_of(array, [](const Json& item) { return item.is_number(); });
        Entries lines;
        for (std::size_t at = 0; at < count; ++at) {
            const std::size_t column = at % columns;
            const bool last = column + 1 == columns || at + 1 == count;
            const std::string blanks(longest[column] - widths[at], ' ');
            if (column == 0) lines.emplace_back();
            lines.back() += (numbers ? blanks : "") + entries[at] + (last ? "" : ", ");
            if (!numbers && !last) lines.back() += blanks;
        }
        if (more) lines.push_back(std::move(entries.back()));
        return lines;
    }

    std::size_t indentation_ = 0;
    int current_depth_ = 0; ///< depth of the object entered last, as in Node
};

} // namespace

std::string inspect(const nlohmann::ordered_json& value)
{
    return Inspector{}.value(value, 0);
}

} // namespace cluster::cli
