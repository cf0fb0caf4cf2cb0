#include "app/http/target.hpp"

#include "ipc/base/text.hpp"
#include "ipc/wire/units.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

std::optional<std::string> decoded_value(std::string_view text)
{
    std::string blanks{text};
    std::ranges::replace(blanks, '+', ' ');
    return percent_decoded(blanks);
}

/// "http://host:1/path?q" → "/path?q"; anything else stays.
std::string_view origin_form(std::string_view text)
{
    const std::size_t scheme = text.find("://");
    if (text.starts_with('/') || scheme == std::string_view::npos) return text;
    const std::size_t path = text.find_first_of("/?", scheme + 3);
    return path == std::string_view::npos ? "/" : text.substr(path);
}

} // namespace

Target split_target(std::string_view text)
{
    const std::string_view origin = origin_form(text);
    const std::size_t question = std::min(origin.find('?'), origin.size());
    const std::string_view path = origin.substr(0, question);
    const bool bare = path.empty() && !text.empty() && text.front() != '?';
    return {.path = bare ? "/" : path, // "http://host?q"
            .query = origin.substr(std::min(question + 1, origin.size()))};
}

std::optional<std::string> percent_decoded(std::string_view text)
{
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        char letter = text[at];
        if (letter == '%') {
            if (at + 2 >= text.size()) return std::nullopt;
            const auto byte = ipc::parse_number<unsigned char>(text.substr(at + 1, 2), 16);
            if (!byte) return std::nullopt;
            letter = static_cast<char>(*byte);
            at += 2;
        }
        if (letter == '\0') return std::nullopt;
        result += letter;
    }
    if (!ipc::is_utf8(result)) return std::nullopt;
    return result;
}

std::optional<Pairs> parse_query(std::string_view query)
{
    Pairs pairs;
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (pair.empty()) continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        auto name = decoded_value(pair.substr(0, equals));
        auto value = decoded_value(pair.substr(std::min(equals + 1, pair.size())));
        if (!name || !value) return std::nullopt;
        pairs.emplace_back(std::move(*name), std::move(*value));
    }
    return pairs;
}

} // namespace cluster::app
