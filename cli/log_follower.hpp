// `logs` at work: what the files hold, then what comes. Files are read first, without a
// subscription, so that a long history or a slow terminal lets nothing pile up in the daemon; then
// it subscribes, reads what the files have got meanwhile, and drops what arrived twice.
#pragma once

#include "cli/context.hpp"
#include "cli/log_files.hpp"
#include "cli/log_filter.hpp"
#include "cli/log_merge.hpp"
#include "cli/log_start.hpp"
#include "cli/log_view.hpp"
#include "cli/log_writers.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cluster::cli {

struct LogRequest {
    std::vector<std::string> targets; ///< none: all
    bool out = true;
    bool err = true;
    std::optional<std::uint64_t> lines; ///< of the history; none: all that pass the filter
    LogFilter filter;
    bool follow = true;
    LogLook look;
};

struct TimedLine {
    std::int64_t at = 0; ///< milliseconds since 1970
    std::string text;
};

class LogFollower {
public:
    LogFollower(LogRequest request, Context& context);

    /// Returns the exit code.
    int run();

private:
    using Lines = std::vector<std::string>;
    int find_logs();
    std::vector<LogChain> open_chains();

    void print_heading();
    void print_history();
    void print_from(const std::vector<LogPlace>& places, std::uint64_t skip);

    int subscribe();
    int join();
    int listen();
    int take_up_again();

    void catch_up();
    void catch_up_behind_shown(const std::vector<LogChain>& before);
    [[nodiscard]] LogPlace near_end(const LogChain& chain, std::uint64_t bytes);
    std::deque<TimedLine> read_last(std::size_t log, LogPlace from, std::uint64_t bytes);
    void note_unfinished();
    void print_unfinished();
    std::string unfinished_line(const LogChain& chain);
    std::string text_behind(const LogChain& chain);
    std::string whole_line(const LogWriter& writer, const std::string& text);

    void print_pending();
    std::map<std::size_t, std::size_t> known_pending();
    void print_notification(const json& params, std::size_t* skip);
    void note_shown(const LogWriter& writer, std::string_view text);
    void print(const LogWriter& writer, std::string_view name, std::int64_t at,
               std::string_view text);
    void flush();

    [[nodiscard]] std::size_t log_of(const LogWriter& writer) const;
    [[nodiscard]] LogWriter keeper_of(const LogWriter& writer) const;
    ipc::OnNotification keep();

    LogRequest request_;
    Context& context_;
    LogFiles files_;
    LogLines lines_;
    LogLines raw_errors_; ///< as PM2: raw lines keep the stream that they came from
    std::vector<WrittenLog> logs_;
    std::vector<LogChain> chains_;     ///< of `logs_`, in their order
    std::map<LogWriter, Lines> shown_; ///< the last lines that came, by the first writer of a file
    std::set<std::size_t> unfinished_; ///< logs whose last line was not whole when joined
    std::vector<json> pending_;        ///< params of `log` notifications
    std::string text_;                 ///< of the line being printed
};

} // namespace cluster::cli
