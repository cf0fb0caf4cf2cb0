// Where a command's words go: stdout (data, buffered) and stderr (warnings, errors), with PM2's
// message prefixes. A reader that went away (EPIPE) ends the printing quietly, never the work: a
// command that is half-way through its requests carries them out to the end.
#pragma once

#include "cli/text.hpp"

#include <string>
#include <string_view>

namespace cluster::cli {

/// A descriptor that text is written to; buffers up to 64 KiB. Single-threaded.
class Output {
public:
    explicit Output(int fd, Style style = {}) : fd_{fd}, style_{style} {}
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    ~Output() { flush(); }

    void write(std::string_view text);
    void flush();

    /// Nobody reads any more, or the disk is full: what is written goes nowhere.
    [[nodiscard]] bool closed() const { return error_ != 0; }
    /// The errno of the write that failed; 0 while all went well.
    [[nodiscard]] int error() const { return error_; }
    [[nodiscard]] const Style& style() const { return style_; }
    void disable_colour() { style_.colour = false; }
    [[nodiscard]] bool terminal() const { return style_.width > 0; }
    [[nodiscard]] int fd() const { return fd_; }

private:
    void write_now(std::string_view text);

    int fd_;
    Style style_;
    std::string buffer_;
    int error_ = 0;
};

/// What is at `fd`: width only on a terminal, colours there without NO_COLOR and TERM=dumb, UTF-8
/// by the locale's variables.
[[nodiscard]] Style detect_style(int fd);

/// Does the environment's locale (LC_ALL, LC_CTYPE, LANG: the first that is set) say UTF-8?
[[nodiscard]] bool locale_is_utf8();

/// One message line with its prefix: "[clusterctl] ", "[clusterctl][WARN] ", "[clusterctl][ERROR]
/// ".
enum class Level { info, warning, error };
[[nodiscard]] std::string message_line(Level level, std::string_view text, const Style& style);

} // namespace cluster::cli
