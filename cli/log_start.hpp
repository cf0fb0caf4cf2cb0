// Where the last N lines of all logs together begin: found backwards from the ends, a block at a
// time, always in the log whose rest is the newest. Lines are counted, not kept.
#pragma once

#include "cli/log_files.hpp"
#include "cli/log_filter.hpp"
#include "cli/log_reader.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace cluster::cli {

/// So many lines of one time.
struct LineRun {
    std::int64_t at = 0;
    std::uint64_t lines = 0;
    bool operator==(const LineRun&) const = default;
};

/// Adds the lines of `text` that pass, `text` beginning at a line's begin at `offset` of its file.
/// A last line without newline counts. Pure but for the memory of `times`.
void count_lines(std::string_view text, std::uint64_t offset, LineTimes& times,
                 const LogFilter& filter, std::vector<LineRun>& runs);

/// One chain, read backwards.
class BackwardCount {
public:
    BackwardCount(LogFiles& files, const LogChain& chain, const LogFilter& filter);

    /// Nothing that is not yet counted is newer than this. Empty: nothing is left that the filter
    /// could let pass.
    [[nodiscard]] std::optional<std::int64_t> newest() const { return newest_; }
    /// Counts what lies before.
    void step(std::vector<LineRun>& runs);
    /// What has been counted begins here.
    [[nodiscard]] LogPlace begin() const { return begin_; }

private:
    struct Part { ///< of a packed file
        std::uint64_t offset = 0;
        std::int64_t at = 0; ///< of its last line
        std::vector<LineRun> runs;
    };

    void open_before();
    void read_packed();
    void count_block(std::vector<LineRun>& runs);
    std::string_view read_block();
    void look_ahead();
    [[nodiscard]] std::optional<std::int64_t> newest_left();

    LogFiles& files_;
    const LogChain& chain_;
    const LogFilter& filter_;
    LogPlace begin_;
    std::optional<OpenLog> log_; ///< none: the one before `begin_` is yet to be opened
    std::vector<Part> parts_;    ///< of a packed one: those that are not yet counted
    std::vector<char> buffer_;
    std::optional<std::int64_t> newest_;
};

/// Where the line begins that goes on at `offset` of a plain file: `offset` itself when one begins
/// there.
[[nodiscard]] std::uint64_t line_begin(LogFiles& files, const OpenLog& log, std::uint64_t offset);

struct LogStart {
    std::vector<LogPlace> places; ///< one for each chain
    std::uint64_t skip = 0;       ///< so many of the first lines from there on are too many
};

/// Of the last `lines` that pass the filter.
[[nodiscard]] LogStart find_start(LogFiles& files, const std::vector<LogChain>& chains,
                                  const LogFilter& filter, std::uint64_t lines);

/// Of all lines since `filter.since`: at or before the first one of each chain.
[[nodiscard]] LogStart find_since(LogFiles& files, const std::vector<LogChain>& chains,
                                  const LogFilter& filter);

} // namespace cluster::cli
