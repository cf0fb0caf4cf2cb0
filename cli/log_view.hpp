// How `logs` prints lines. Pure.
#pragma once

#include "cli/text.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::cli {

/// One line of an app's log.
struct LogLine {
    std::int64_t id = 0;
    std::string_view name;
    bool error = false;  ///< stderr
    std::int64_t at = 0; ///< milliseconds since 1970; 0 for lines out of a file
    std::string_view text;
};

enum class LogFormat { prefixed, raw, json };

/// The line with its newline: `<id>|<name padded to name_width> | <text>`, the bytes alone, or
/// PM2's object `{"message","timestamp","type","process_id","app_name"}`.
[[nodiscard]] std::string log_line(const LogLine& line, LogFormat format, std::size_t name_width,
                                   const Style& style);

} // namespace cluster::cli
