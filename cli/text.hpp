// Text for a terminal: how wide it is, how it is cut and made harmless, how figures are spelled.
// Pure functions; nothing here asks the terminal or the locale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::cli {

/// What the place we print to can do.
struct Style {
    bool colour = false;   ///< ANSI colours
    bool utf8 = false;     ///< box characters, …, ✓
    std::size_t width = 0; ///< columns; 0: no limit (a pipe or a file)
};

enum class Colour { none, bold, red, green, yellow, cyan, grey, blue, magenta, inverse };

/// `text` in that colour; unchanged without colours.
[[nodiscard]] std::string paint(std::string_view text, Colour colour, const Style& style);

/// Columns that UTF-8 text takes: 2 for CJK and emoji, 0 for combining marks, 1 for a stray byte.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// `text` cut to `width` columns; what was cut ends in "…" ("~" without UTF-8).
[[nodiscard]] std::string fit(std::string_view text, std::size_t width, bool utf8);

/// `text` with blanks behind it until it takes `width` columns.
[[nodiscard]] std::string pad(std::string_view text, std::size_t width);

/// Control characters (C0, DEL, C1, bidirectional overrides) and bytes that are not UTF-8 as "\x1b"
/// and "\u202e", so that a name or a log line cannot move the cursor or hide text.
[[nodiscard]] std::string escape_controls(std::string_view text, bool keep_tabs = false);

/// A line of an app's log for a terminal: colours (ESC [ … m) stay and end with the line, every
/// other control character is escaped.
[[nodiscard]] std::string safe_log_line(std::string_view line);

/// PM2's spelling of a size: "0b", "12.5kb", "49.8mb", "1.2gb".
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

/// PM2's spelling of an age: "5s", "3m", "2h", "4D". Negative counts as 0.
[[nodiscard]] std::string format_age(std::int64_t milliseconds);

/// A time to wait: "1600 ms" below two seconds or when not whole, else "5 s".
[[nodiscard]] std::string format_duration(std::int64_t milliseconds);

/// Milliseconds since 1970 as "2026-01-31T12:00:00.000Z"; "" for 0.
[[nodiscard]] std::string format_time(std::int64_t wall_ms);

} // namespace cluster::cli
