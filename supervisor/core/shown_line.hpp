// Words of a worker that are shown to people: in a table, in an event, on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// How much of a worker's own words is kept.
inline constexpr std::size_t kShownBytes = 200;

/// The first `most` bytes of a line at most, cut between characters: a tab is a blank, other
/// control characters are dropped, and bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string shown_line(std::string_view line, std::size_t most = kShownBytes);

} // namespace cluster::supervisor
