// What lines in log files look like: a date before each one, or a JSON object made of each one. The
// date is put together from dayjs's tokens, which is what PM2's users write. No clock and no file:
// the moment is an argument, the zone is the process's own (TZ).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// A date pattern, cut into tokens once.
class DateFormat {
public:
    explicit DateFormat(std::string_view pattern);
    void append(std::string& out, std::int64_t wall_ms) const;
    [[nodiscard]] bool shows_milliseconds() const { return shows_milliseconds_; }

private:
    struct Piece {
        int token = -1; ///< index into the table of tokens; -1: `literal`
        std::string literal;
    };
    std::vector<Piece> pieces_;
    bool shows_milliseconds_ = false;
};

/// "2026-11-22T11:30:00.123Z", as JavaScript's toISOString.
void append_iso_date(std::string& out, std::int64_t wall_ms);

/// Appends `text` as a JSON string; what is no UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// How the lines of one stream are written.
struct LineStyle {
    std::string date_format; ///< "" none
    bool json = false;
    bool error = false; ///< stderr
    int process_id = 0;
    std::string app_name;
    bool operator==(const LineStyle&) const = default;

    /// Lines go out as they are.
    [[nodiscard]] bool plain() const { return date_format.empty() && !json; }
};

/// Forms lines of one stream. Not for two threads: it remembers the date it has formed last.
class LineFormat {
public:
    explicit LineFormat(LineStyle style);

    /// Each line becomes an object: an unfinished one cannot be written and go on later.
    [[nodiscard]] bool needs_whole_lines() const { return style_.json; }
    /// What stands before a line; "" in JSON, whose lines have it inside.
    [[nodiscard]] std::string_view head(std::int64_t wall_ms);
    /// Appends `bytes` with a head before each line but the first. JSON: an object for each line,
    /// the last one too when it has no end. Stops behind a line once `out` has `most` bytes; the
    /// number of bytes that were taken comes back.
    std::size_t append(std::string& out, std::string_view bytes, std::int64_t wall_ms,
                       std::size_t most);

private:
    std::size_t append_dated(std::string& out, std::string_view bytes, std::size_t most) const;
    std::size_t append_objects(std::string& out, std::string_view bytes, std::size_t most) const;
    void remember(std::int64_t wall_ms);

    LineStyle style_;
    DateFormat date_;
    std::string tail_;          ///< JSON: what follows the date in an object
    std::string head_;          ///< of `head_at_`; JSON: the middle of an object
    std::int64_t head_at_ = -1; ///< in milliseconds, or in seconds where that is enough
};

} // namespace cluster::supervisor
