#include "ipc/wire/attribute_table.hpp"

#include "ipc/wire/attribute_codecs.hpp"
#include "ipc/wire/log_sink.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::ipc {
namespace {

constexpr std::int64_t kMaxRestarts = 1'000'000;
constexpr std::int64_t kMaxInstances = 10'000;
constexpr std::int64_t kMaxPids = 4'194'304; // man 5 proc, pid_max

using enum Group;
using enum Effect;
using enum Support;

// Order: reading, messages and documents follow it. Columns: name, aliases, type and member,
// default, section, effect of a change, doc line, then range and support where they are not the
// usual.
// clang-format off
constexpr Attribute kAttributes[] = {
    {"script", {"exec", "cmd", "command"}, via<Text, &AppSpec::script>, "", program, restart,
     "What runs: a file relative to `cwd`, a program found in `PATH`, or a command line in one string, which a shell runs. Required."},
    {"name", {}, via<Name, &AppSpec::name>, "", program, restart,
     "What the app is called everywhere; unique in a file. By default the script's file name without its last extension."},
    {"name_prefix", {}, shaping<Name, &Draft::name_prefix>, "", program, restart,
     "Put before the name, with a colon between."},
    {"append_env_to_name", {}, shaping<Flag, &Draft::append_env_to_name>, "false", program, restart,
     "With `--env x` the name becomes `name-x`."},
    {"namespace", {}, via<Name, &AppSpec::name_space>, R"("default")", program, restart,
     "A group of apps that commands can take as one target."},
    {"cwd", {}, via<Text, &AppSpec::cwd>, "", program, restart,
     "Working directory, relative to the one `clusterctl` is called in; `~` is the home directory. By default the caller's."},
    {"args", {}, via<Words, &AppSpec::args>, "[]", program, restart,
     "Arguments of the script."},
    {"interpreter", {"exec_interpreter"}, via<Text, &AppSpec::interpreter>, "", program, restart,
     "The program that runs the script; `none` runs the script itself. By default chosen by the script's extension."},
    {"interpreter_args", {"node_args"}, via<Words, &AppSpec::interpreter_args>, "[]", program, restart,
     "Arguments of the interpreter, before the script."},
    {"exec_mode", {}, {Type::exec_mode, &read_exec_mode, &write_exec_mode}, "", program, restart,
     "By default `cluster` when `instances` is given and the interpreter is node or bun, else `fork`."},
    {"instances", {}, via<InstanceCount, &AppSpec::instances>, "", program, restart,
     "How many workers run. `max` and 0 are one per CPU that the daemon may use, -1 is one less than that. By default 1.",
     -kMaxInstances, kMaxInstances},
    {"instance_var", {}, via<Variable, &AppSpec::instance_var>, R"("NODE_APP_INSTANCE")", program, restart,
     "The variable that tells a worker its number, counted from 0."},
    {"increment_var", {}, via<Variable, &AppSpec::increment_var>, "", program, restart,
     "A variable of `env` that goes up by one from worker to worker, such as `PORT`."},
    {"env", {}, via<Variables, &AppSpec::env>, "{}", program, restart,
     "Environment variables, laid over the caller's. Objects and arrays become JSON, null drops a variable. `env_<name>` is laid over `env` when the command has `--env <name>`."},
    {"filter_env", {}, {Type::filter, &read_filter, &write_filter}, "[]", program, restart,
     "Drops inherited variables whose name contains one of the texts; `true` drops all of them."},
    {"port", {}, shaping<Whole, &Draft::port>, "", program, restart,
     "Sets the variable `PORT`.", 0, 65535},
    {"listen", {}, via<Addresses, &AppSpec::listen>, "[]", program, restart,
     "Addresses that the daemon opens and hands to every worker (`LISTEN_FDS`), so that restarts refuse no connection: `3001`, `127.0.0.1:3001`, `[::1]:3001`, `unix:/run/x.sock`, or an object with `address`, `name`, `backlog`, `mode` and `owner` (of a unix socket), `reuse_port`, `ipv6_only`, `nodelay`."},
    {"balance", {}, via<BalanceMode, &AppSpec::balance>, R"("shared")", program, restart,
     "How connections to `listen` are spread. `shared`: one socket, whoever is free takes the next one. `reuseport`: one socket per worker, filled evenly, better for long keep-alive connections and for event loops that are woken all at once (asyncio)."},
    {"depends_on", {}, via<Dependencies, &AppSpec::depends_on>, "{}", program, live,
     "Apps that come first, by their names in `list`: one, an array, or an object of names with `started` (its processes run), `ready` (all are online; what a name alone means) or `completed` (all have ended with exit code 0). They are stopped in reverse order. A cycle is an error of the file."},

    {"uid", {"user"}, via<User, &AppSpec::uid>, "", identity, restart,
     "The user to run as, by name or number; takes a daemon that runs as root. By default the daemon's own."},
    {"gid", {}, via<User, &AppSpec::gid>, "", identity, restart,
     "The group to run as. By default the user's own."},
    {"umask", {}, via<Umask, &AppSpec::umask>, "", identity, restart,
     "File mode creation mask, octal as a string (`\"022\"`). By default the daemon's."},

    {"memory_high", {}, via<Memory, &AppSpec::memory_high>, "0", limits, restart,
     "Each worker's process tree is slowed down and made to give memory back above this (`memory.high` of its cgroup); 0 for no limit."},
    {"memory_max", {}, via<Memory, &AppSpec::memory_max>, "0", limits, restart,
     "A worker whose process tree needs more memory is killed at once and started again (`memory.max`); 0 for no limit. `max_memory_restart` is the gentle form."},
    {"cpu_max", {}, via<Cpus, &AppSpec::cpu_max>, "0", limits, restart,
     "How many CPUs the process tree of a worker may use (`cpu.max`): `0.5`, `2`, `\"150%\"`; 0 for no limit."},
    {"pids_max", {}, via<Whole, &AppSpec::pids_max>, "0", limits, restart,
     "How many processes and threads the tree of a worker may have (`pids.max`); 0 for no limit.", 0, kMaxPids},
    {"rlimits", {}, via<Rlimits, &AppSpec::rlimits>, "{}", limits, restart,
     "Limits of each process (`setrlimit`), by name: `as`, `core`, `cpu`, `data`, `fsize`, `locks`, `memlock`, `msgqueue`, `nice`, `nofile`, `nproc`, `rss`, `rtprio`, `rttime`, `sigpending`, `stack`. A number, a string such as `\"64M\"`, `\"unlimited\"`, or an object of `soft` and `hard`."},
    {"nice", {}, via<Whole, &AppSpec::nice>, "", limits, restart,
     "Scheduling priority, from -20 (first) to 19 (last). By default the daemon's.", -20, 19},
    {"oom_score_adj", {}, via<Whole, &AppSpec::oom_score_adj>, "", limits, restart,
     "How soon the kernel kills a worker when the machine is out of memory, from -1000 (never) to 1000 (first). By default the daemon's.", -1000, 1000},
    {"no_new_privileges", {}, via<Flag, &AppSpec::no_new_privileges>, "false", limits, restart,
     "Whether setuid programs and file capabilities are without effect for a worker and all it starts."},

    {"autostart", {}, via<Flag, &AppSpec::autostart>, "true", life, live,
     "`false` adds the app as stopped."},
    {"autorestart", {}, via<Flag, &AppSpec::autorestart>, "true", life, live,
     "Whether a worker that ends is started again."},
    {"max_restarts", {}, via<Whole, &AppSpec::max_restarts>, "16", life, live,
     "After how many quick exits in a row a worker is given up as `errored`.", 0, kMaxRestarts},
    {"min_uptime", {}, via<Duration, &AppSpec::min_uptime>, "1000", life, live,
     "A worker that ends sooner has made a quick exit.", 0, kMaxMs},
    {"restart_delay", {}, via<Duration, &AppSpec::restart_delay>, "0", life, live,
     "Waited before a worker is started again.", 0, kMaxMs},
    {"exp_backoff_restart_delay", {}, via<Duration, &AppSpec::exp_backoff_restart_delay>, "0", life, live,
     "First delay of a series that grows by half each time up to 15 s; 0 for none. Wins over `restart_delay`.", 0, kMaxMs},
    {"stop_exit_codes", {}, via<ExitCodes, &AppSpec::stop_exit_codes>, "[]", life, live,
     "Exit codes after which a worker stays stopped.", 0, 255},
    {"kill_signal", {}, via<Signal, &AppSpec::kill_signal>, R"("SIGINT")", life, live,
     "The signal that asks a worker to end."},
    {"kill_timeout", {}, via<Duration, &AppSpec::kill_timeout>, "5000", life, live,
     "How long a worker may take to end before SIGKILL.", 0, kMaxMs},
    {"treekill", {}, via<Flag, &AppSpec::treekill>, "true", life, live,
     "Whether `kill_signal` goes to the whole process tree or to the first process alone."},
    {"max_memory_restart", {}, via<Memory, &AppSpec::max_memory_restart>, "0", life, live,
     "A worker whose process tree uses more memory is restarted; 0 for no limit."},
    {"cron_restart", {"cron"}, via<Schedule, &AppSpec::cron_restart>, R"("")", life, live,
     "When the app is restarted by the clock, in local time: `0 3 * * *` (minute, hour, day of the month, month, weekday), with a field for seconds before them, or `@daily`; names, lists, ranges, steps, `L`, `15W` and `5#2` as PM2 has them ([how](guide.md#restarts-by-the-clock)). `\"\"` or 0 for never."},

    {"wait_ready", {}, via<Flag, &AppSpec::wait_ready>, "false", serving, restart,
     "A worker is `online` only once it has said so: `process.send('ready')` in Node, `READY=1` to `$NOTIFY_SOCKET` in any language."},
    {"listen_timeout", {}, via<Duration, &AppSpec::listen_timeout>, "", serving, live,
     "How long a worker may take to get ready. By default 3 s with `wait_ready`, 30 s with `ready`.", 1, kMaxMs},
    {"ready", {}, via<ProbeOf<ProbeUse::ready>, &AppSpec::ready>, "", serving, restart,
     "A worker is `online` only once this probe succeeds. A path such as `/health`, or an object with one of `http` (a path, or `true` with `path`), `tcp` (`true` or a port), `exec` (a command line, or an array of program and arguments; exit code 0 is good), `log` (a regular expression for a line of output), and `port` (by default the worker's own), `status` (a code or an array of them, by default 200 to 399), `interval` (100 ms), `timeout` (1 s)."},
    {"health", {}, via<ProbeOf<ProbeUse::health>, &AppSpec::health>, "", serving, restart,
     "A worker whose probe fails `failures` (3) times in a row is restarted. As `ready`, with `interval` 10 s, `timeout` 5 s, and `start_period` (10 s), in which failures do not count."},
    {"watchdog", {}, via<Duration, &AppSpec::watchdog>, "0", serving, restart,
     "A worker that does not send `WATCHDOG=1` to `$NOTIFY_SOCKET` for so long is restarted (`WATCHDOG_USEC` tells it); 0 for none.", 0, kMaxMs},
    {"shutdown_with_message", {}, via<Flag, &AppSpec::shutdown_with_message>, "false", serving, live,
     "A Node worker is asked to end by the message `shutdown` instead of by `kill_signal`."},
    {"drain_timeout", {}, via<Duration, &AppSpec::drain_timeout>, "10000", serving, live,
     "How long requests in flight may take when their worker is replaced or removed, before it is asked to end.", 0, kMaxMs},
    {"reload", {}, via<ReloadRules, &AppSpec::reload>, "{}", serving, live,
     "How a reload goes through the workers: `max_surge` (how many new ones beside the old, a number or `\"25%\"`; by default 1, and all for a `shared` socket), `max_unavailable` (how many may be missing, by default 0), `soak` (how long a new worker must live once it is ready, by default `min_uptime`)."},

    {"out_file", {"out", "output", "out_log"}, via<LogPath, &AppSpec::out_file>, "", files, restart,
     "Where standard output goes, relative to `cwd`; `NULL` or `/dev/null` for nowhere. By default `logs/<name>-out.log` in `$CLUSTER_HOME`."},
    {"error_file", {"error", "err", "err_file", "err_log"}, via<LogPath, &AppSpec::error_file>, "", files, restart,
     "Where standard error goes; as `out_file`. By default `logs/<name>-error.log`."},
    {"log_file", {"log"}, via<CombinedLog, &AppSpec::log_file>, "", files, restart,
     "One more file, with the lines of both streams; relative to `cwd`, or `true` for `logs/<name>.log`. Not kept by default."},
    {"log_date_format", {}, via<DatePattern, &AppSpec::log_date_format>, R"("")", files, restart,
     "A date before each line, such as `YYYY-MM-DD HH:mm:ss.SSS Z`: `YYYY YY M MM MMM MMMM D DD d dd ddd dddd H HH h hh m mm s ss SSS Z ZZ A a`, text in `[]` as it is."},
    {"time", {}, shaping<Flag, &Draft::time>, "false", files, restart,
     "The same as `log_date_format: \"YYYY-MM-DDTHH:mm:ss\"`."},
    {"log_type", {}, via<LogKind, &AppSpec::log_type>, R"("raw")", files, restart,
     "`json` makes an object of each line: `message`, `timestamp` (ISO 8601, or by `log_date_format`), `type` (`out` or `err`), `process_id`, `app_name`. `raw` leaves lines as they are."},
    {"log_on_full", {}, via<FullPolicy, &AppSpec::log_on_full>, R"("drop")", files, restart,
     "What becomes of output while its file cannot be written, on a full disk for one. `drop`: it is lost, counted, and the log says so later. `block`: nothing is lost, a worker that goes on writing waits. `spill`: it goes to `spill` in `$CLUSTER_HOME`, up to 64 MB, and is brought back in order."},
    {"disable_logs", {}, shaping<Flag, &Draft::disable_logs>, "false", files, restart,
     "Keeps no output at all."},
    {"merge_logs", {"combine_logs"}, via<Flag, &AppSpec::merge_logs>, "", files, restart,
     "Whether all workers of the app write to the same files; else each file gets the worker's id. By default `true` exactly when `instances` is absent."},
    {"log_sinks", {}, via<Sinks, &AppSpec::log_sinks>, "[]", files, restart,
     "Where each line of output goes besides the files: `stdout` (the daemon's own), `journald`, `syslog` (`/dev/log`), `syslog:/PATH`, `syslog://HOST:PORT` (UDP), `syslog+tcp://HOST:PORT` (RFC 5424), `tcp://HOST:PORT` and `unix:/PATH` (a line of JSON each). One, or an array."},
    {"rotate", {}, via<LogRotationRule, &AppSpec::rotate>, R"({"size":"100M","keep":10,"compress":"zstd"})", files, restart,
     "When a log file is set aside for a new one ([how](logs.md#rotation)). An object of `size` (bytes or `\"100M\"`; 0 for never by size), `every` (`hourly`, `daily`, `weekly`, or a duration such as `\"6h\"`; by default never by time), `keep` (how many files set aside stay), `compress` (`zstd`, `gzip` or `false`). `true` is the default; `false` sets nothing aside."},
    {"pid_file", {"pid"}, via<Text, &AppSpec::pid_file>, "", files, restart,
     "Where the pid is written, relative to `cwd`. By default `pids/<name>-<id>.pid` in `$CLUSTER_HOME`."},

    {"watch", {}, kIgnored, "false", other, restart, "Restart on file changes.", 0, 0, accepted},
    {"ignore_watch", {}, kIgnored, "[]", other, restart, "Paths that `watch` leaves out.", 0, 0, accepted},
    {"watch_delay", {}, kIgnored, "0", other, restart, "Delay of `watch`.", 0, 0, accepted},
    {"watch_options", {}, kIgnored, "{}", other, restart, "Details of `watch`.", 0, 0, accepted},
    {"kill_retry_time", {}, kIgnored, "100", other, restart, "How often PM2 looks whether a process has ended.", 0, 0, accepted},
    {"force", {}, kIgnored, "false", other, restart, "Start a script a second time.", 0, 0, accepted},
    {"write", {}, kIgnored, "false", other, restart, "Write the configuration to a file.", 0, 0, accepted},
    {"execute_command", {}, kIgnored, "false", other, restart, "PM2's older word for `exec_mode: fork`.", 0, 0, accepted},
    {"post_update", {}, kIgnored, "[]", other, restart, "Commands after `pull`.", 0, 0, accepted},
    {"install_url", {}, kIgnored, "", other, restart, "Part of PM2's modules.", 0, 0, accepted},
    {"trace", {}, kIgnored, "false", other, restart, "Instrumentation of Node apps.", 0, 0, accepted},
    {"v8", {}, kIgnored, "false", other, restart, "Instrumentation of Node apps.", 0, 0, accepted},
    {"event_loop_inspector", {}, kIgnored, "false", other, restart, "Instrumentation of Node apps.", 0, 0, accepted},
    {"deep_monitoring", {}, kIgnored, "false", other, restart, "Instrumentation of Node apps.", 0, 0, accepted},
    {"io", {}, kIgnored, "{}", other, restart, "Instrumentation of Node apps.", 0, 0, accepted},
    {"disable_trace", {}, kIgnored, "true", other, restart, "Nothing is traced.", 0, 0, silent},
    {"pmx", {}, kIgnored, "true", other, restart, "Instrumentation of Node apps.", 0, 0, silent},
    {"automation", {}, kIgnored, "true", other, restart, "Instrumentation of Node apps.", 0, 0, silent},
    {"vizion", {}, kIgnored, "true", other, restart, "Version control data in PM2's list.", 0, 0, silent},
    {"windowsHide", {}, kIgnored, "true", other, restart, "There are no windows here.", 0, 0, silent},
    {"source_map_support", {}, kIgnored, "true", other, restart, "Use `interpreter_args: \"--enable-source-maps\"`.", 0, 0, silent},
    {"disable_source_map_support", {}, kIgnored, "false", other, restart, "The opposite of `source_map_support`.", 0, 0, silent},
    {"username", {}, kIgnored, "", other, restart, "For display in PM2's list.", 0, 0, silent},
    {"unsupported", {}, via<TextList, &AppSpec::unsupported>, "[]", other, restart,
     "Names of attributes without effect, from the CLI to the daemon.", 0, 0, internal},
};
// clang-format on

/// Compares without building the camelCase form: every key of every app passes here many times.
bool is_camel_case_of(std::string_view key, std::string_view name)
{
    std::size_t at = 0;
    bool raise = false;
    for (const char c : name) {
        if (c == '_') {
            raise = true;
            continue;
        }
        const char want = raise && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        if (at == key.size() || key[at] != want) return false;
        raise = false;
        ++at;
    }
    return at == key.size();
}

bool is_spelling_of(std::string_view key, std::string_view name)
{
    return !name.empty() && (key == name || is_camel_case_of(key, name));
}

} // namespace

std::span<const Attribute> attributes()
{
    return kAttributes;
}

const Attribute* find_attribute(std::string_view key)
{
    const auto known_as = [&](std::string_view name) { return is_spelling_of(key, name); };
    const auto* const found = std::ranges::find_if(kAttributes, [&](const Attribute& a) {
        return known_as(a.name) || std::ranges::any_of(a.aliases, known_as);
    });
    return found == std::end(kAttributes) ? nullptr : found;
}

std::string camel_case(std::string_view name)
{
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const bool raise =
            name[i] == '_' && i + 1 < name.size() && name[i + 1] >= 'a' && name[i + 1] <= 'z';
        if (raise)
            out += static_cast<char>(name[++i] - 'a' + 'A');
        else if (name[i] != '_')
            out += name[i];
    }
    return out;
}

std::string allowed(const Attribute& attribute)
{
    switch (attribute.access.type) {
    case Type::text:
        return "a string that is not empty";
    case Type::name:
        return "a string of 1 to 200 bytes without \"/\" and control characters";
    case Type::variable:
        return "a variable name, or \"\" for none";
    case Type::words:
        return "an array of strings, or one string that is split on blanks";
    case Type::flag:
        return "true or false";
    case Type::whole:
        return fmt::format("a whole number from {} to {}", attribute.min, attribute.max);
    case Type::duration:
        return "milliseconds, or a string such as \"500ms\", \"5s\", \"2m\" or \"1h\" (at most 24 "
               "days)";
    case Type::memory:
        return "a number of bytes, or a string such as \"300M\" or \"1G\" (K, M and G are powers "
               "of 1024)";
    case Type::exec_mode:
        return "\"fork\" or \"cluster\"";
    case Type::instances:
        return "a whole number, \"max\", 0 or negative";
    case Type::signal:
        return "a signal name such as \"SIGTERM\", or a number from 1 to 64";
    case Type::umask:
        return "an octal string from \"0\" to \"0777\", or the same as a number from 0 to 511";
    case Type::user:
        return "a name that is not empty, or a number that is not negative";
    case Type::environment:
        return "an object of variables";
    case Type::filter:
        return "true, false, a string or an array of strings";
    case Type::exit_codes:
        return fmt::format("a whole number from {} to {}, or an array of them", attribute.min,
                           attribute.max);
    case Type::listen:
        return "a port, an address, or an array of ports, addresses and objects";
    case Type::text_list:
        return "an array of strings";
    case Type::balance:
        return "\"shared\" or \"reuseport\"";
    case Type::depends_on:
        return "an app's name, an array of names, or an object of names with \"started\", "
               "\"ready\" or \"completed\"";
    case Type::ready_probe:
    case Type::health_probe:
        return "a path such as \"/health\", or an object with one of http, tcp, exec, log";
    case Type::reload_policy:
        return "an object of max_surge, max_unavailable, soak";
    case Type::rotation:
        return "true, false, or an object of size, every, keep, compress";
    case Type::cpus:
        return "a number of CPUs from 0.01 to 10000, a percentage of one such as \"50%\", or 0";
    case Type::rlimits:
        return "an object of limits such as {\"nofile\": 65536}";
    case Type::sinks:
        return "an array of sinks such as [\"journald\", \"tcp://127.0.0.1:5170\"]";
    case Type::log_file:
        return "a file name, or true for logs/<name>.log";
    case Type::date_format:
        return "a date format such as \"YYYY-MM-DD HH:mm:ss\", of at most 200 bytes in one line";
    case Type::log_type:
        return "\"raw\" or \"json\"";
    case Type::log_on_full:
        return "\"drop\", \"block\" or \"spill\"";
    case Type::schedule:
        return "a cron pattern such as \"0 3 * * *\"";
    case Type::any:
        return "anything";
    }
    std::unreachable();
}

} // namespace cluster::ipc
