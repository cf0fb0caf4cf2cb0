// `logs`: its options. What it does is in log_follower.
#include "cli/commands.hpp"
#include "cli/log_follower.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <sys/resource.h>

#include <memory>
#include <utility>

namespace cluster::cli {
namespace {

constexpr const char* kTimestamp = "YYYY-MM-DD-HH:mm:ss"; ///< PM2's

struct LogOptions {
    LogRequest request;
    std::uint64_t lines = 15;
    bool lines_given = false;
    bool nostream = false;
    bool only_err = false;
    bool only_out = false;
    bool raw = false;
    bool keyed = false;
    std::string timestamp;
    std::string since;
    std::string until;
    std::string grep;
    bool ignore_case = false;
    std::optional<LogPattern> pattern;
};

/// One file is open per log: a daemon may have more of them than a shell lets a process open.
void allow_many_files()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit); // where it may not be, 1024 files are plenty for most
}

/// Empty, or what is wrong.
std::string set_moment(const char* option, const std::string& text, std::int64_t now,
                       std::int64_t& into)
{
    if (text.empty()) return {};
    const auto moment = parse_moment(text, now);
    if (!moment)
        return fmt::format("logs: {} must be an age (10m, 2h, 1d), a time of day (14:30) or a date "
                           "(2026-01-31, 2026-01-31T14:30:00Z), got '{}'",
                           option, escape_controls(text));
    into = *moment;
    return {};
}

std::string set_filter(LogOptions& options, std::int64_t now)
{
    LogFilter& filter = options.request.filter;
    if (auto fault = set_moment("--since", options.since, now, filter.since); !fault.empty())
        return fault;
    if (auto fault = set_moment("--until", options.until, now, filter.until); !fault.empty())
        return fault;
    if (options.grep.empty()) return {};
    auto pattern = LogPattern::compile(options.grep, options.ignore_case);
    if (!pattern)
        return fmt::format("logs: --grep '{}': {}", escape_controls(options.grep), pattern.error());
    filter.grep = &options.pattern.emplace(std::move(*pattern));
    return {};
}

void set_look(LogOptions& options, bool json_output)
{
    LogLook& look = options.request.look;
    if (json_output)
        look.format = LogFormat::json;
    else if (options.keyed)
        look.format = LogFormat::keyed;
    else if (options.raw)
        look.format = LogFormat::raw;
    if (!options.timestamp.empty()) look.timestamp = options.timestamp;
}

int run_logs(LogOptions& options, Context& context)
{
    if (auto fault = set_filter(options, context.clock.wall_ms()); !fault.empty())
        return context.fail(fault, kUsage);
    set_look(options, context.json_output);
    LogRequest& request = options.request;
    const bool both = options.only_out == options.only_err;
    request.out = both || options.only_out;
    request.err = both || options.only_err;
    request.follow = !options.nostream && options.until.empty();
    if (options.lines_given || options.since.empty()) request.lines = options.lines;
    allow_many_files();
    return LogFollower{std::move(request), context}.run();
}

} // namespace

void add_logs(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<LogOptions>();
    parser.add_option("target", options->request.targets,
                      "Ids, names, namespaces or /regex/; all without it");
    CLI::Option* lines =
        parser.add_option("--lines", options->lines, "How many lines come first, of all together")
            ->check(CLI::Range(0, 1'000'000'000))
            ->capture_default_str();
    parser.add_flag("--nostream", options->nostream, "Print those and end");
    parser.add_flag("--err", options->only_err, "Only stderr");
    parser.add_flag("--out", options->only_out, "Only stdout");
    parser.add_option("--since", options->since,
                      "All lines since then: 10m, 2h, 1d, 14:30, 2026-01-31T14:30");
    parser.add_option("--until", options->until, "Nothing after that; ends there");
    parser.add_option("--grep", options->grep, "Only lines that match this regular expression");
    parser.add_flag("--ignore-case", options->ignore_case, "--grep is deaf to case");
    parser.add_option("--highlight", options->request.look.highlight,
                      "Show this text inverse on a terminal");
    parser.add_flag("--raw", options->raw, "Lines without the prefix");
    parser.add_flag("--format", options->keyed, "timestamp=… app=… id=… type=… message=…");
    parser
        .add_option("--timestamp", options->timestamp,
                    "Put the time before each line, in this form")
        ->expected(0, 1)
        ->default_str(kTimestamp);
    parser.callback([options, lines, &parser, &context] {
        options->lines_given = lines->count() > 0;
        if (parser.count("--timestamp") > 0 && options->timestamp.empty())
            options->timestamp = kTimestamp;
        context.exit_code = run_logs(*options, context);
    });
}

} // namespace cluster::cli
