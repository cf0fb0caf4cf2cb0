// `logs`: the end of each log file, then what comes. It subscribes before it reads the files, so
// that no line is lost in between, and drops what arrived twice.
#include "cli/commands.hpp"
#include "cli/log_tail.hpp"
#include "cli/log_view.hpp"
#include "cli/process_view.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

namespace cluster::cli {
namespace {

struct LogOptions {
    std::string target; ///< "": all
    std::size_t lines = 15;
    bool nostream = false;
    bool only_err = false;
    bool only_out = false;
    bool raw = false;
};

struct Writer {
    std::int64_t id = 0;
    bool error = false; ///< its stderr
    std::string name;
};

/// A log file and who writes into it: several with merge_logs, or one with both its streams.
struct LogFile {
    std::string path;
    std::vector<Writer> writers;
    std::vector<std::string> history;
    off_t size = 0;                 ///< when the history had been read
    std::vector<std::string> shown; ///< the last lines that came since
};

constexpr std::size_t kShownKept = 32;   ///< enough to find the place again
constexpr off_t kMostMissed = 1L << 20U; ///< bytes that are looked through for it

class LogReader {
public:
    LogReader(const LogOptions& options, Context& context) : options_{options}, context_{context}
    {
        if (context.json_output)
            format_ = LogFormat::json;
        else if (options.raw)
            format_ = LogFormat::raw;
    }

    int run()
    {
        if (const int code = begin(); code != kDone) return code;
        print_heading();
        print_history();
        if (options_.nostream) return kDone;
        print_pending();
        while (true) {
            if (const int code = follow(); code != kDone || context_.out.closed()) return code;
            if (const int code = take_up_again(); code != kDone) return code;
        }
    }

private:
    /// What is kept of notifications until the history is printed.
    ipc::OnNotification keep()
    {
        return [this](std::string_view method, const json& params) {
            if (method == "log") pending_.push_back(params);
        };
    }

    [[nodiscard]] bool wanted(bool error) const
    {
        if (options_.only_err == options_.only_out) return true;
        return error == options_.only_err;
    }

    int subscribe()
    {
        if (options_.nostream) return kDone;
        json params = json::object();
        if (!options_.target.empty()) params["targets"] = json::array({options_.target});
        params["streams"] = json::array();
        for (const bool error : {false, true})
            if (wanted(error)) params["streams"].push_back(error ? "err" : "out");
        const auto answer = context_.session.call("logs.follow", params, keep());
        return answer ? kDone : context_.fail(answer.error());
    }

    /// All of it on one connection: a daemon that came back knows of no subscription.
    int begin()
    {
        int connection = 0;
        do {
            pending_.clear();
            files_.clear();
            if (const int code = subscribe(); code != kDone) return code;
            connection = context_.session.connections();
            if (const int code = find_files(); code != kDone) return code;
            if (const int code = read_history(); code != kDone) return code;
        } while (!options_.nostream && connection != context_.session.connections());
        return kDone;
    }

    /// The daemon was replaced: what came meanwhile stands in the files, behind what was shown.
    int take_up_again()
    {
        if (!context_.session.reconnect()) return context_.fail("the daemon has ended", kNoDaemon);
        before_ = std::exchange(files_, {});
        if (const int code = begin(); code != kDone) return code;
        print_history();
        print_pending();
        return kDone;
    }

    /// Lines of the file that are to be shown first.
    ipc::Result<std::vector<std::string>> first_lines(const LogFile& file)
    {
        const auto known = std::ranges::find(before_, file.path, &LogFile::path);
        if (known == before_.end()) return last_lines(context_.system, file.path, options_.lines);
        const off_t least = log_size(context_.system, file.path) - kMostMissed;
        auto read = lines_after(context_.system, file.path, std::max(known->size, least));
        if (read) *read = lines_behind(std::move(*read), known->shown);
        return read;
    }

    int find_files()
    {
        const bool all = options_.target.empty();
        const json targets = json::array({all ? "all" : options_.target});
        auto answer = context_.session.call("describe", {{"targets", targets}}, keep());
        if (!answer && all && answer.error().code == ipc::kNotFound) answer = json::object();
        if (!answer) return context_.fail(answer.error());
        const json processes = answer->value("processes", json::array());
        for (const json& process : processes) {
            const std::string name = process.value("name", std::string{});
            name_width_ = std::max(name_width_, display_width(name));
            for (const bool error : {false, true})
                if (wanted(error)) add_file(process, name, error);
        }
        return kDone;
    }

    void add_file(const json& process, const std::string& name, bool error)
    {
        const auto path = process.find(error ? "error_file" : "out_file");
        if (path == process.end() || !path->is_string()) return;
        const auto& text = path->get_ref<const std::string&>();
        if (text.empty() || text == "/dev/null") return;
        const std::int64_t id = member_number(process, "id");
        const auto known = std::ranges::find(files_, text, &LogFile::path);
        if (known != files_.end())
            known->writers.push_back({id, error, name});
        else
            files_.push_back({text, {{id, error, name}}, {}, 0, {}});
    }

    int read_history()
    {
        for (LogFile& file : files_) {
            auto lines = first_lines(file);
            file.size = log_size(context_.system, file.path);
            if (lines)
                file.history = std::move(*lines);
            else
                context_.warn(lines.error().text());
        }
        if (options_.nostream) return kDone;
        // A barrier: lines that the files hold by now have arrived before its answer.
        const auto pong = context_.session.call("ping", json::object(), keep());
        return pong ? kDone : context_.fail(pong.error());
    }

    void print_heading()
    {
        headers_ = format_ == LogFormat::prefixed && !context_.silent;
        if (headers_ && options_.lines > 0)
            context_.out.write(paint(
                fmt::format("[TAILING] Tailing last {} lines for [{}] process{} (change the value "
                            "with the --lines option)\n",
                            options_.lines,
                            options_.target.empty() ? "all" : escape_controls(options_.target),
                            options_.target.empty() ? "es" : ""),
                Colour::grey, context_.out.style()));
    }

    void print_history()
    {
        for (const LogFile& file : files_) {
            if (headers_ && !file.history.empty())
                context_.out.write(paint(
                    fmt::format("{} last {} lines:\n", escape_controls(file.path), options_.lines),
                    Colour::grey, context_.out.style()));
            const Writer& writer = file.writers[0];
            for (const std::string& line : file.history)
                print({writer.id, writer.name, writer.error, 0, line});
        }
        headers_ = false; // what comes when it is taken up again just goes on
        context_.out.flush();
    }

    /// Where the lines of a notification are kept; null for a file that is not shown.
    [[nodiscard]] LogFile* file_of(const json& params)
    {
        const std::int64_t id = member_number(params, "id");
        const bool error = is_error(params);
        for (LogFile& file : files_)
            for (const Writer& writer : file.writers)
                if (writer.id == id && writer.error == error) return &file;
        return nullptr;
    }

    /// Prints what arrived while the files were read, without the lines that they held already.
    void print_pending()
    {
        std::map<const LogFile*, std::vector<std::string>> arrived;
        for (const json& params : pending_)
            if (const LogFile* file = file_of(params))
                for (const json& line : lines_of(params))
                    arrived[file].push_back(line.get<std::string>());
        std::map<const LogFile*, std::size_t> known;
        for (const auto& [file, lines] : arrived)
            known[file] = overlap(file->history, lines);
        for (const json& params : pending_) {
            const auto skip = known.find(file_of(params));
            print_notification(params, skip == known.end() ? nullptr : &skip->second);
        }
        pending_.clear();
        context_.out.flush();
    }

    /// Prints what comes until the connection ends or nobody reads any more.
    int follow()
    {
        if (context_.out.closed()) return kDone;
        const auto ended =
            context_.session.listen([&](std::string_view method, const json& params) {
                if (method == "log") print_notification(params, nullptr);
                context_.out.flush();
                context_.err.flush();
                return !context_.out.closed();
            });
        if (ended || context_.out.closed()) return kDone;
        return context_.fail(ended.error().text(), kNoDaemon);
    }

    static bool is_error(const json& params) { return member_text(params, "stream") == "err"; }

    static json lines_of(const json& params)
    {
        json lines = json::array();
        const auto found = params.find("lines");
        if (found == params.end() || !found->is_array()) return lines;
        std::ranges::copy_if(*found, std::back_inserter(lines),
                             [](const json& line) { return line.is_string(); });
        return lines;
    }

    /// `skip`: how many lines are known already; counted down.
    void print_notification(const json& params, std::size_t* skip)
    {
        if (const auto dropped = member_number(params, "dropped"); dropped > 0) {
            context_.warn(
                fmt::format("{} lines are missing here: this terminal is too slow", dropped));
            return;
        }
        const std::string name = params.value("name", std::string{});
        name_width_ = std::max(name_width_, display_width(name));
        LogFile* file = file_of(params);
        for (const json& line : lines_of(params)) {
            if (skip != nullptr && *skip > 0) {
                --*skip;
                continue;
            }
            const auto& text = line.get_ref<const std::string&>();
            print({member_number(params, "id"), name, is_error(params), member_number(params, "at"),
                   text});
            if (file != nullptr) note_shown(*file, text);
        }
    }

    static void note_shown(LogFile& file, const std::string& line)
    {
        file.shown.push_back(line);
        if (file.shown.size() > 2 * kShownKept)
            file.shown.erase(file.shown.begin(), file.shown.end() - kShownKept);
    }

    void print(const LogLine& line)
    {
        // As PM2: raw lines keep the stream that they came from.
        Output& to = line.error && format_ == LogFormat::raw ? context_.err : context_.out;
        to.write(log_line(line, format_, name_width_, to.style()));
    }

    const LogOptions& options_;
    Context& context_;
    LogFormat format_ = LogFormat::prefixed;
    std::vector<LogFile> files_;
    std::vector<LogFile> before_; ///< as shown before the daemon was replaced
    bool headers_ = false;
    std::vector<json> pending_;   ///< params of `log` notifications
    std::size_t name_width_ = 10; ///< PM2's padding; grows with the longest name
};

} // namespace

void add_logs(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<LogOptions>();
    parser.add_option("target", options->target, "Id, name, namespace or /regex/; all without it");
    parser.add_option("--lines", options->lines, "How many lines of each file come first")
        ->check(CLI::Range(0, 1'000'000'000))
        ->capture_default_str();
    parser.add_flag("--nostream", options->nostream, "Print those and end");
    parser.add_flag("--err", options->only_err, "Only stderr");
    parser.add_flag("--out", options->only_out, "Only stdout");
    parser.add_flag("--raw", options->raw, "Lines without the prefix");
    parser.callback(
        [options, &context] { context.exit_code = LogReader{*options, context}.run(); });
}

} // namespace cluster::cli
