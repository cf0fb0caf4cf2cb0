// The lines of logs from a place on, in order, in bounded memory.
#pragma once

#include "cli/log_bytes.hpp"
#include "cli/log_files.hpp"
#include "cli/log_filter.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace cluster::cli {

/// A longer line is shown in parts.
inline constexpr std::size_t kLongestLine = 16UL << 20U;

/// Cuts bytes into lines. The text is valid until the next call.
class LineCutter {
public:
    struct Line {
        std::string_view text; ///< without its newline
        std::uint64_t begin = 0;
        std::uint64_t end = 0; ///< behind the newline
    };

    /// `bytes` begin at `offset` of the file.
    LineCutter(std::unique_ptr<LogBytes> bytes, std::uint64_t offset);

    /// False at the end; a last line without newline counts. Errors: of LogBytes.
    ipc::Result<bool> next(Line& line);

private:
    ipc::Result<void> fill();
    void take(Line& line, std::size_t size, std::size_t with_newline);

    std::unique_ptr<LogBytes> bytes_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0; ///< of the line to come, in the buffer
    std::size_t seen_ = 0;  ///< how much of it is known to hold no newline
    std::size_t end_ = 0;   ///< of what the buffer holds
    std::uint64_t offset_;  ///< of `begin_` in the file
    bool ended_ = false;
};

/// Lines with their times, one after the other: what is merged.
class LineSource {
public:
    virtual ~LineSource() = default;
    /// On to the next line; false when there is none.
    virtual bool next() = 0;
    [[nodiscard]] virtual std::string_view text() const = 0;
    /// Milliseconds since 1970; 0: nobody knows.
    [[nodiscard]] virtual std::int64_t at() const = 0;
};

/// The lines of one chain that pass the filter. Chain, files and filter outlive it.
class ChainReader final : public LineSource {
public:
    ChainReader(LogFiles& files, const LogChain& chain, LogPlace from, const LogFilter& filter);

    bool next() override;
    [[nodiscard]] std::string_view text() const override { return line_.text; }
    [[nodiscard]] std::int64_t at() const override { return at_; }

private:
    bool open_next();
    bool next_line();

    LogFiles& files_;
    const LogChain& chain_;
    LogPlace from_; ///< the file that is opened next, and where it begins
    const LogFilter& filter_;
    std::optional<OpenLog> log_;
    std::optional<LineCutter> lines_;
    LineCutter::Line line_;
    std::int64_t at_ = 0;
};

} // namespace cluster::cli
