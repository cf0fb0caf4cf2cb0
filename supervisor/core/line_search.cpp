#include "supervisor/core/line_search.hpp"

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

/// What a line takes while it waits; an empty one is not for nothing.
std::size_t cost_of(const std::string& line)
{
    return line.size() + sizeof(std::string);
}

} // namespace

std::expected<LineSearch, std::string> LineSearch::make(const std::string& pattern)
{
    // Not by backtracking: that takes exponential time for "(a+)+$", and a stack as deep as the
    // line is long.
    constexpr auto kind = std::regex::ECMAScript | std::regex::nosubs | std::regex::optimize |
                          std::regex_constants::__polynomial;
    try {
        return LineSearch{std::regex{pattern, kind}};
    } catch (const std::regex_error& error) {
        return std::unexpected(error.what());
    }
}

void LineSearch::push(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::size_t newline = bytes.find('\n');
        const std::string_view part = bytes.substr(0, newline);
        unfinished_ += part.substr(0, kMaxLineBytes - unfinished_.size());
        if (newline == std::string_view::npos) return;
        bytes.remove_prefix(newline + 1);
        std::string line = std::exchange(unfinished_, {});
        if (line.ends_with('\r')) line.pop_back();
        if (pending_bytes_ + cost_of(line) > kMaxPendingBytes) continue;
        pending_bytes_ += cost_of(line);
        lines_.push_back(std::move(line));
    }
}

bool LineSearch::look()
{
    if (lines_.empty()) return false;
    const std::string line = std::move(lines_.front());
    lines_.pop_front();
    pending_bytes_ -= cost_of(line);
    try {
        return std::regex_search(line, pattern_);
    } catch (const std::regex_error&) {
        return false; // error_complexity, error_stack: this line is beyond the library
    }
}

} // namespace cluster::supervisor
