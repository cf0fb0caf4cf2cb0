#include "app/base/environment.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace cluster::app {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text)
{
    text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

std::string lower(std::string_view text)
{
    std::string result{text};
    std::ranges::transform(result, result.begin(), [](unsigned char letter) {
        return static_cast<char>(std::tolower(letter));
    });
    return result;
}

bool is_name(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](unsigned char letter) {
        return std::isalnum(letter) != 0 || letter == '_' || letter == '.' || letter == '-';
    });
}

/// What stands between double quotes: only \n and \r mean something there.
std::string unescaped(std::string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool pair = text[at] == '\\' && at + 1 < text.size();
        if (pair && (text[at + 1] == 'n' || text[at + 1] == 'r'))
            result += text[++at] == 'n' ? '\n' : '\r';
        else
            result += text[at];
    }
    return result;
}

/// Reads one `.env` text from front to end.
class DotenvReader {
public:
    explicit DotenvReader(std::string_view text) : rest_{text} {}

    Result<Variables> read()
    {
        Variables variables;
        while (!rest_.empty()) {
            const auto entry = line();
            if (!entry) return std::unexpected(entry.error());
            if (entry->first.empty()) continue;
            variables[entry->first] = entry->second;
        }
        return variables;
    }

private:
    using Entry = std::pair<std::string, std::string>;

    Result<Entry> line()
    {
        ++number_;
        const std::size_t end = std::min(rest_.find('\n'), rest_.size());
        std::string_view text = trimmed(rest_.substr(0, end));
        if (text.empty() || text.front() == '#') return skip(end);
        const std::size_t equals = rest_.find('=');
        std::string_view name = trimmed(rest_.substr(0, std::min(equals, end)));
        if (name.starts_with("export ")) name = trimmed(name.substr(7));
        if (equals >= end || !is_name(name))
            return ipc::fail(
                std::error_code{},
                fmt::format("line {}: expected NAME=value, got \"{}\"", number_, text));
        const std::string key{name};
        rest_.remove_prefix(equals + 1);
        auto value = this->value();
        if (!value) return std::unexpected(value.error());
        return Entry{key, std::move(*value)};
    }

    Entry skip(std::size_t end)
    {
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
        return {};
    }

    Result<std::string> value()
    {
        const std::size_t begin = std::min(rest_.find_first_not_of(kBlank), rest_.size());
        const char quote = begin < rest_.size() ? rest_[begin] : '\n';
        if (quote == '"' || quote == '\'' || quote == '`') return quoted(begin, quote);
        const std::size_t end = std::min(rest_.find('\n'), rest_.size());
        std::string_view text = rest_.substr(0, end);
        text = trimmed(text.substr(0, text.find('#'))); // dotenv 16: a comment needs no blank
        std::string result{text};
        skip(end);
        return result;
    }

    Result<std::string> quoted(std::size_t begin, char quote)
    {
        const std::size_t end = rest_.find(quote, begin + 1);
        if (end == std::string_view::npos)
            return ipc::fail(
                std::error_code{},
                fmt::format("line {}: the {} that opens is not closed", number_, quote));
        const std::string_view text = rest_.substr(begin + 1, end - begin - 1);
        number_ += static_cast<int>(std::ranges::count(text, '\n'));
        std::string result = quote == '"' ? unescaped(text) : std::string{text};
        skip(std::min(rest_.find('\n', end), rest_.size()));
        return result;
    }

    std::string_view rest_;
    int number_ = 0;
};

struct Unit {
    std::string_view name;
    double ms;
};
constexpr std::array kUnits{
    Unit{"ms", 1},          Unit{"s", 1000},           Unit{"m", 60'000},
    Unit{"min", 60'000},    Unit{"h", 3'600'000},      Unit{"d", 86'400'000},
    Unit{"w", 604'800'000}, Unit{"y", 31'557'600'000}, Unit{"", 1000}};

std::optional<milliseconds> parse_duration(std::string_view text)
{
    const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto count = ipc::parse_number<double>(text.substr(0, end));
    const std::string unit = lower(trimmed(text.substr(end)));
    const auto* const found = std::ranges::find(kUnits, std::string_view{unit}, &Unit::name);
    if (!count || found == kUnits.end() || *count * found->ms > 1e15) return std::nullopt;
    return milliseconds{static_cast<milliseconds::rep>(*count * found->ms)};
}

} // namespace

Variables read_environment(const char* const* block)
{
    Variables variables;
    for (; *block != nullptr; ++block) {
        const std::string_view entry = *block;
        const std::size_t equals = entry.find('=');
        if (equals == std::string_view::npos) continue;
        variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return variables;
}

Result<Variables> parse_dotenv(std::string_view text)
{
    return DotenvReader{text}.read();
}

std::string Environment::text(std::string_view name, std::string_view fallback) const
{
    const auto found = variables_.find(name);
    return std::string{found == variables_.end() || found->second.empty() ? fallback
                                                                          : found->second};
}

bool Environment::has(std::string_view name) const
{
    return !text(name).empty();
}

int Environment::number(std::string_view name, int fallback, int low, int high)
{
    const std::string given = text(name);
    if (given.empty()) return fallback;
    const auto value = ipc::parse_number<int>(given);
    if (value && *value >= low && *value <= high) return *value;
    fault(fmt::format("{} must be an integer from {} to {}, got \"{}\"", name, low, high, given));
    return fallback;
}

bool Environment::flag(std::string_view name, bool fallback)
{
    const std::string given = lower(text(name));
    if (given.empty()) return fallback;
    constexpr std::array<std::string_view, 4> kYes{"true", "1", "yes", "on"};
    constexpr std::array<std::string_view, 4> kNo{"false", "0", "no", "off"};
    if (std::ranges::find(kYes, given) != kYes.end()) return true;
    if (std::ranges::find(kNo, given) != kNo.end()) return false;
    fault(fmt::format("{} must be true or false, got \"{}\"", name, given));
    return fallback;
}

std::string Environment::choice(std::string_view name, std::string_view fallback,
                                std::initializer_list<std::string_view> allowed)
{
    std::string given = text(name, fallback);
    if (std::ranges::find(allowed, given) != allowed.end()) return given;
    fault(fmt::format("{} must be one of {}, got \"{}\"", name, fmt::join(allowed, ", "), given));
    return std::string{fallback};
}

milliseconds Environment::duration(std::string_view name, milliseconds fallback, milliseconds low,
                                   milliseconds high)
{
    const std::string given = text(name);
    if (given.empty()) return fallback;
    const auto value = parse_duration(given);
    if (value && *value >= low && *value <= high) return *value;
    fault(fmt::format("{} must be a duration like 15m, 12h or 7d, from {} s to {} s, got \"{}\"",
                      name, low.count() / 1000, high.count() / 1000, given));
    return fallback;
}

std::vector<std::string> Environment::list(std::string_view name) const
{
    const std::string given = text(name);
    std::string_view rest = given;
    std::vector<std::string> parts;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(','), rest.size());
        if (const auto part = trimmed(rest.substr(0, end)); !part.empty()) parts.emplace_back(part);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return parts;
}

} // namespace cluster::app
