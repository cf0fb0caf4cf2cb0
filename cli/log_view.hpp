// How `logs` and `run` print lines. Pure.
#pragma once

#include "cli/text.hpp"
#include "ipc/wire/date_format.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::cli {

/// One line of an app's log.
struct LogLine {
    std::int64_t id = 0;
    std::string_view name;
    bool error = false;  ///< stderr
    std::int64_t at = 0; ///< milliseconds since 1970; 0: nobody knows
    std::string_view text;
};

enum class LogFormat {
    prefixed,
    raw,
    json,
    keyed, ///< PM2's --format: `timestamp=… app=… id=… type=… message=…`
};

/// The line with its newline: `<id>|<name padded to name_width> | <text>`, the bytes alone, or
/// PM2's object `{"message","timestamp","type","process_id","app_name"}`.
[[nodiscard]] std::string log_line(const LogLine& line, LogFormat format, std::size_t name_width,
                                   const Style& style);

struct LogLook {
    LogFormat format = LogFormat::prefixed;
    std::optional<std::string> timestamp; ///< a pattern of ipc::DateFormat
    std::string highlight;                ///< shown inverse on a terminal with colours
};

/// The lines of `logs`: many, so what they have in common is made once.
class LogLines {
public:
    LogLines(LogLook look, const Style& style);

    /// Names are padded to the longest one that was ever told; PM2 begins with ten columns.
    void widen(std::string_view name);
    /// Appends the line with its newline.
    void append(const LogLine& line, std::string& out);

private:
    void append_prefixed(const LogLine& line, std::string& out);
    void append_json(const LogLine& line, std::string& out);
    void append_keyed(const LogLine& line, std::string& out);
    void append_time(std::int64_t at, std::string& out);
    const std::string& iso_time(std::int64_t at);
    void append_text(std::string_view text, std::string& out) const;
    const std::string& prefix_of(const LogLine& line);
    Colour colour_of(std::string_view name);

    LogLook look_;
    Style style_;
    ipc::DateFormat date_;
    std::size_t name_width_ = 10;
    std::map<std::pair<std::int64_t, bool>, std::string> prefixes_; ///< by id and stream
    std::int64_t iso_at_ = 0;                                       ///< that `iso_` belongs to
    std::string iso_;
    std::vector<std::string> apps_; ///< in the order of their colours
};

} // namespace cluster::cli
