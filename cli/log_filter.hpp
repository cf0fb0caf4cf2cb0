// Which lines `logs` shows: by time and by content. Pure.
#pragma once

#include "cli/log_pattern.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace cluster::cli {

/// What --since and --until take, as milliseconds since 1970: an age ("30s", "10m", "2h", "1d",
/// "1w", "1h30m"), a time of day ("14:30", "14:30:05": the last one that has been), or a date
/// ("2026-01-31", "2026-01-31T14:30", "2026-01-31 14:30:05.250", with "Z" or "+01:00" or in local
/// time). Empty for anything else.
[[nodiscard]] std::optional<std::int64_t> parse_moment(std::string_view text, std::int64_t now_ms);

struct LogFilter {
    static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

    std::int64_t since = 0; ///< milliseconds since 1970; 0: from the beginning
    std::int64_t until = kNever;
    const LogPattern* grep = nullptr;

    /// `at`: 0 when nobody knows, which is before every `since`.
    [[nodiscard]] bool in_time(std::int64_t at) const { return at >= since && at <= until; }
    [[nodiscard]] bool passes(std::string_view line, std::int64_t at) const
    {
        return in_time(at) && (grep == nullptr || grep->matches(line));
    }
};

} // namespace cluster::cli
