#include "cli/app_options.hpp"

#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <array>
#include <iterator>

namespace cluster::cli {
namespace {

using nlohmann::json;

/// What an option's words become.
enum class Kind {
    text,       ///< one string
    number,     ///< a whole number as such, anything else as a string ("max", "5s", "300M")
    texts,      ///< one string per use
    numbers,    ///< whole numbers, several per use
    path_or_on, ///< one string, or true without one
    on,         ///< true
    off,        ///< false
};

struct AppOption {
    const char* names;
    const char* attribute;
    Kind kind;
    const char* help;
};

// clang-format off
constexpr AppOption kOptions[] = {
    {"-n,--name", "name", Kind::text, "Name; by default the script's without its extension"},
    {"-i,--instances", "instances", Kind::number, "How many: a number, 'max', or -1 for all CPUs but one"},
    {"--interpreter", "interpreter", Kind::text, "Program that runs the script; 'none' runs it directly"},
    {"--interpreter-args,--node-args", "interpreter_args", Kind::text, "Arguments for the interpreter"},
    {"-o,--output", "out_file", Kind::text, "File for stdout"},
    {"-e,--error", "error_file", Kind::text, "File for stderr"},
    {"-l,--log", "log_file", Kind::path_or_on, "One more file, for both; logs/<name>.log without a path"},
    {"--time", "time", Kind::on, "Put the date before each line"},
    {"--log-date-format", "log_date_format", Kind::text, "Put a date like this before each line: 'YYYY-MM-DD HH:mm:ss'"},
    {"--log-type", "log_type", Kind::text, "'json': an object for each line"},
    {"--log-on-full", "log_on_full", Kind::text, "On a full disk: 'drop', 'block' or 'spill'"},
    {"--merge-logs", "merge_logs", Kind::on, "All instances write to the same files"},
    {"--disable-logs", "disable_logs", Kind::on, "Write no log files"},
    {"--namespace", "namespace", Kind::text, "Group to start, stop and list it with"},
    {"--cwd", "cwd", Kind::text, "Folder it runs in"},
    {"-p,--pid", "pid_file", Kind::text, "File that holds the pid"},
    {"--listen", "listen", Kind::texts, "Address that the daemon opens for it: 3000, 127.0.0.1:3000, unix:/path; may be repeated"},
    {"--balance", "balance", Kind::text, "How its connections are spread: 'shared' or 'reuseport'"},
    {"--depends-on", "depends_on", Kind::texts, "App that must be ready first; may be repeated"},
    {"--wait-ready", "wait_ready", Kind::on, "It is online once it says so: process.send('ready') or READY=1"},
    {"--ready", "ready", Kind::text, "It is online once this path of it answers, such as /health"},
    {"--listen-timeout", "listen_timeout", Kind::number, "Time for getting ready, in ms or '5s'"},
    {"--health", "health", Kind::text, "It is restarted when this path of it does not answer"},
    {"--shutdown-with-message", "shutdown_with_message", Kind::on, "Ask a Node app to end by the message 'shutdown'"},
    {"--drain-timeout", "drain_timeout", Kind::number, "Time for requests in flight when it leaves, in ms or '5s'"},
    {"-k,--kill-timeout", "kill_timeout", Kind::number, "Time between the stop signal and SIGKILL, in ms or '5s'"},
    {"--kill-signal", "kill_signal", Kind::text, "The stop signal"},
    {"--max-memory-restart", "max_memory_restart", Kind::number, "Restart above this memory: bytes or '300M'"},
    {"-c,--cron,--cron-restart", "cron_restart", Kind::text, "Restart by the clock: '0 3 * * *'; 0 for never"},
    {"--restart-delay", "restart_delay", Kind::number, "Time before a restart, in ms or '5s'"},
    {"--exp-backoff-restart-delay", "exp_backoff_restart_delay", Kind::number, "First delay of a growing series, in ms"},
    {"--max-restarts", "max_restarts", Kind::number, "Quick exits in a row before it counts as errored"},
    {"--min-uptime", "min_uptime", Kind::number, "A life shorter than this is a quick exit, in ms or '5s'"},
    {"--stop-exit-codes", "stop_exit_codes", Kind::numbers, "Exit codes after which it is not restarted"},
    {"--no-autorestart", "autorestart", Kind::off, "Do not restart it when it ends"},
    {"--no-autostart", "autostart", Kind::off, "Only add it to the list"},
    {"--no-treekill", "treekill", Kind::off, "Stop the process alone, not its children"},
    {"-u,--user,--uid", "uid", Kind::text, "User it runs as"},
    {"--gid", "gid", Kind::text, "Group it runs as"},
    {"--filter-env", "filter_env", Kind::texts, "Do not inherit variables whose name contains this; may be repeated"},
};

constexpr std::array kUnsupported{
    "--watch", "--ignore-watch", "--watch-delay", "--ext", "--fresh", "--daemon", "--container", "--dist",
    "--image-name", "--node-version", "--dockerdaemon", "-x", "--execute-command", "--parallel", "--no-vizion", "--no-pmx", "--no-automation",
    "--source-map-support", "--disable-source-map-support", "--trace", "--disable-trace", "--v8",
    "--event-loop-inspector", "--deep-monitoring", "-w", "--write", "--attach",
};
// clang-format on

bool is_flag(Kind kind)
{
    return kind == Kind::on || kind == Kind::off;
}

json number_or_text(const std::string& word)
{
    const auto number = ipc::parse_whole(word);
    return number ? json(*number) : json(word);
}

json value_of(Kind kind, const std::vector<std::string>& words)
{
    switch (kind) {
    case Kind::text:
        return words.back();
    case Kind::path_or_on:
        return words.back().empty() ? json(true) : json(words.back());
    case Kind::number:
        return number_or_text(words.back());
    case Kind::texts:
        return words;
    case Kind::numbers: {
        json numbers = json::array();
        for (const std::string& word : words)
            numbers.push_back(number_or_text(word));
        return numbers;
    }
    case Kind::on:
        return true;
    case Kind::off:
        return false;
    }
    return nullptr;
}

/// Does `names`, a list like "-n,--name", hold `word`?
bool names_hold(std::string_view names, std::string_view word)
{
    while (!names.empty()) {
        const auto comma = names.find(',');
        if (names.substr(0, comma) == word) return true;
        names.remove_prefix(comma == names.npos ? names.size() : comma + 1);
    }
    return false;
}

} // namespace

AppOptions::AppOptions() : values_(std::size(kOptions)), flags_(std::size(kOptions), 0) {}

void AppOptions::add_to(CLI::App& parser)
{
    for (std::size_t at = 0; at < std::size(kOptions); ++at) {
        const AppOption& row = kOptions[at];
        if (is_flag(row.kind)) {
            char& flag = flags_[at];
            parser.add_flag_callback(row.names, [&flag] { flag = 1; }, row.help)->group("App");
            continue;
        }
        CLI::Option* option = parser.add_option(row.names, values_[at], row.help)->group("App");
        if (row.kind == Kind::numbers)
            option->delimiter(',');
        else if (row.kind == Kind::path_or_on)
            option->expected(0, 1)->type_name("[PATH]");
        else
            // Else an option that fills a vector would swallow the target that follows its value.
            option->expected(1)->allow_extra_args(false)->type_name(
                row.kind == Kind::number ? "VALUE" : "TEXT");
        option->multi_option_policy(row.kind == Kind::text || row.kind == Kind::number ||
                                            row.kind == Kind::path_or_on
                                        ? CLI::MultiOptionPolicy::TakeLast
                                        : CLI::MultiOptionPolicy::TakeAll);
    }
}

json AppOptions::attributes() const
{
    json attributes = json::object();
    for (std::size_t at = 0; at < std::size(kOptions); ++at) {
        const AppOption& row = kOptions[at];
        if (is_flag(row.kind) ? flags_[at] != 0 : !values_[at].empty())
            attributes[row.attribute] = value_of(row.kind, values_[at]);
    }
    return attributes;
}

std::string option_of(std::string_view attribute)
{
    for (const AppOption& row : kOptions) {
        if (row.attribute != attribute) continue;
        const std::string_view names = row.names;
        const auto begin = names.find("--");
        return std::string{names.substr(begin, names.find(',', begin) - begin)};
    }
    return std::string{attribute};
}

bool takes_value(std::string_view word)
{
    constexpr std::string_view kOthers[] = {
        "--env",       "--only",       "--sort", "--lines",        "--prove-path",
        "--prove-url", "--prove-rate", "--hp",   "--service-name", "--grace",
        "--since",     "--until",      "--grep", "--highlight"};
    if (std::ranges::find(kOthers, word) != std::end(kOthers)) return true;
    return std::ranges::any_of(kOptions, [&](const AppOption& row) {
        return !is_flag(row.kind) && names_hold(row.names, word);
    });
}

std::string unsupported_option(const std::vector<std::string>& arguments)
{
    for (auto word = arguments.begin(); word != arguments.end(); ++word) {
        const std::string_view name = std::string_view{*word}.substr(0, word->find('='));
        if (std::ranges::find(kUnsupported, name) != kUnsupported.end()) return std::string{name};
        if (takes_value(*word) && word + 1 != arguments.end()) ++word; // `--name -x`
    }
    return {};
}

} // namespace cluster::cli
