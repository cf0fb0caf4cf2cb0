#include "cli/describe_view.hpp"

#include "cli/process_view.hpp"
#include "cli/table.hpp"
#include "ipc/wire/date_format.hpp"
#include "ipc/wire/rpc.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::cli {
namespace {

/// Arrays as blank-separated words, the rest as member_text.
std::string list_text(const json& object, const char* key)
{
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return member_text(object, key);
    std::string text;
    for (const json& item : *found) {
        if (!text.empty()) text += ' ';
        text += escape_controls(item.is_string() ? item.get_ref<const std::string&>()
                                                 : ipc::dump(item));
    }
    return text;
}

std::string duration_text(const json& object, const char* key)
{
    return object.contains(key) ? format_duration(member_number(object, key)) : std::string{};
}

std::string signal_text(const json& object, const char* key)
{
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_integer()) return member_text(object, key);
    return ipc::signal_name(found->get<int>());
}

std::string bytes_text(const json& object, const char* key)
{
    return format_bytes(
        static_cast<std::uint64_t>(std::max<std::int64_t>(member_number(object, key), 0)));
}

/// "12 (3 in the last hour)"
std::string restarts_text(const json& process)
{
    const auto lately = member_number(process, "restarts_last_hour");
    return member_text(process, "restarts") +
           (lately > 0 ? fmt::format(" ({} in the last hour)", lately) : "");
}

/// "51.2mb (30.1mb with its part of what is shared, 60.0mb in its cgroup)"
std::string memory_text(const json& process)
{
    std::string text = bytes_text(process, "memory");
    const bool pss = member_number(process, "memory_pss") > 0;
    const bool group = member_number(process, "memory_cgroup") > 0;
    if (pss) text += " (" + bytes_text(process, "memory_pss") + " with its part of what is shared";
    if (group)
        text += (pss ? ", " : " (") + bytes_text(process, "memory_cgroup") + " in its cgroup";
    return pss || group ? text + ')' : text;
}

/// "0 3 * * * (next 2026-11-23 03:00:00 +01:00)": local time, as the pattern is.
std::string cron_text(const json& process)
{
    const std::string pattern = member_text(process, "cron_restart");
    const auto next = member_number(process, "cron_next_at");
    ipc::DateFormat local{"YYYY-MM-DD HH:mm:ss Z"};
    return next > 0 ? fmt::format("{} (next {})", pattern, local.text(next)) : pattern;
}

/// A table of two columns; rows without a value are left out.
class KeyValueTable {
public:
    KeyValueTable() { table_.columns = {{"", 0, 8}, {"", 0, 16}}; }

    void add(std::string_view key, std::string value, Colour colour = Colour::none)
    {
        if (value.empty()) return;
        table_.rows.push_back({{std::string{key}, Colour::cyan}, {std::move(value), colour}});
    }

    [[nodiscard]] std::string text(const Style& style)
    {
        table_.head = false;
        return draw(table_, style);
    }

private:
    Table table_;
};

void add_state(KeyValueTable& table, const json& process, std::int64_t now_ms)
{
    const std::string status = member_text(process, "status");
    table.add("status", status, status_colour(status));
    table.add("cause", member_text(process, "cause"));
    table.add("held back", member_text(process, "waits_for"));
    table.add("fault", member_text(process, "fault"));
    table.add("health", member_text(process, "health"));
    table.add("says", member_text(process, "status_text"));
    table.add("name", member_text(process, "name"));
    table.add("namespace", member_text(process, "namespace"));
    const std::string version = member_text(process, "version");
    table.add("version", version.empty() ? "N/A" : version);
    table.add("pid", member_text(process, "pid"));
    table.add("restarts", restarts_text(process));
    table.add("uptime", member_number(process, "pid") > 0 ? format_age(uptime_ms(process, now_ms))
                                                          : std::string{"0"});
    if (member_number(process, "max_memory_restart") > 0)
        table.add("max memory restart", bytes_text(process, "max_memory_restart"));
    table.add("cron restart", cron_text(process));
}

/// "0.5 (cgroup v1)"; bytes as such.
void add_limits(KeyValueTable& table, const json& process)
{
    const auto limits = process.find("limits");
    if (limits == process.end() || !limits->is_object()) return;
    for (const auto& [name, limit] : limits->items()) {
        if (!limit.is_object() || !limit.contains("by")) continue;
        const std::string value =
            name.starts_with("memory") ? bytes_text(limit, "value") : member_text(limit, "value");
        const std::string by = member_text(limit, "by");
        table.add(name, fmt::format("{} ({})", value, by),
                  by.starts_with("nobody") ? Colour::yellow : Colour::none);
    }
    const auto events = limits->find("events");
    if (events == limits->end() || !events->is_object()) return;
    const auto add = [&](const char* key, std::string_view text) {
        if (const auto count = member_number(*events, key); count > 0)
            table.add("", fmt::format("{} {}", count, text), Colour::yellow);
    };
    add("out_of_memory", "processes killed for memory_max");
    add("refused_forks", "processes not started for pids_max");
    add("throttled_ms", "ms taken by cpu_max or memory_high");
}

/// "tcp://10.0.0.7:5170 (1200 lines sent, 7 lost)".
void add_sinks(KeyValueTable& table, const json& process)
{
    const auto sinks = process.find("log_sinks");
    if (sinks == process.end() || !sinks->is_array()) return;
    for (const json& sink : *sinks) {
        const auto lost = member_number(sink, "lost");
        const std::string trouble = member_text(sink, "trouble");
        std::string text = fmt::format("{} ({} lines sent", member_text(sink, "sink"),
                                       member_number(sink, "sent"));
        if (lost > 0) text += fmt::format(", {} lost", lost);
        if (!trouble.empty()) text += "; " + trouble;
        table.add("log sink", text + ')',
                  lost > 0 || !trouble.empty() ? Colour::yellow : Colour::none);
    }
}

/// Only when there is something to say.
void add_log_trouble(KeyValueTable& table, const json& process)
{
    const auto logs = process.find("logs");
    if (logs == process.end() || !logs->is_object()) return;
    if (const auto lost = member_number(*logs, "lost_bytes"); lost > 0)
        table.add("log lines lost",
                  fmt::format("{} ({})", member_number(*logs, "lost_lines"),
                              bytes_text(*logs, "lost_bytes")),
                  Colour::yellow);
    const std::string trouble = member_text(*logs, "trouble");
    if (!trouble.empty())
        table.add("log trouble",
                  fmt::format("{} (since {})", trouble,
                              format_time(member_number(*logs, "trouble_since"))),
                  Colour::red);
}

void add_program(KeyValueTable& table, const json& process)
{
    table.add("script path", member_text(process, "script"));
    table.add("script args", list_text(process, "args"));
    table.add("error log path", member_text(process, "error_file"));
    table.add("out log path", member_text(process, "out_file"));
    table.add("combined log path", member_text(process, "log_file"));
    add_log_trouble(table, process);
    add_sinks(table, process);
    table.add("log fault", member_text(process, "log_fault"), Colour::yellow);
    table.add("pid path", member_text(process, "pid_file"));
    table.add("interpreter", member_text(process, "interpreter"));
    table.add("interpreter args", list_text(process, "interpreter_args"));
    table.add("script id", member_text(process, "id"));
    table.add("exec cwd", member_text(process, "cwd"));
    table.add("exec mode", member_text(process, "mode"));
    table.add("instance", member_text(process, "instance"));
    table.add("listen", list_text(process, "listen"));
    table.add("addresses", list_text(process, "addresses"));
    table.add("user", member_text(process, "user"));
}

void add_life(KeyValueTable& table, const json& process)
{
    table.add("cpu", cpu_text(process));
    table.add("memory", memory_text(process));
    table.add("child processes", list_text(process, "children"));
    table.add("unstable restarts", member_text(process, "unstable_restarts"));
    table.add("autorestart", member_text(process, "autorestart"));
    table.add("max restarts", member_text(process, "max_restarts"));
    table.add("min uptime", duration_text(process, "min_uptime_ms"));
    table.add("kill signal", signal_text(process, "kill_signal"));
    table.add("kill timeout", duration_text(process, "kill_timeout_ms"));
    table.add("created at", format_time(member_number(process, "created_at")));
    table.add("without effect", list_text(process, "unsupported"));
}

/// "exited with code 1 after 40 ms", from the daemon's sentence or the figures.
std::string exit_text(const json& exit)
{
    std::string reason = member_text(exit, "reason");
    if (!reason.empty()) return reason;
    const std::string signal = signal_text(exit, "signal");
    if (!signal.empty()) return "ended by " + signal;
    return "exited with code " + member_text(exit, "code");
}

std::string last_exits(const json& process, const Style& style)
{
    const auto exits = process.find("last_exits");
    if (exits == process.end() || !exits->is_array() || exits->empty()) return {};
    std::string text = paint(" Last exits, newest first\n", Colour::bold, style);
    for (const json& exit : *exits) {
        const std::string lived = duration_text(exit, "uptime_ms");
        text += fmt::format("  {}  {}{}\n", format_time(member_number(exit, "at")), exit_text(exit),
                            lived.empty() ? "" : fmt::format(" (uptime {})", lived));
        const auto lines = exit.find("stderr");
        if (lines == exit.end() || !lines->is_array()) continue;
        for (const json& line : *lines)
            if (line.is_string())
                text += "    " + escape_controls(line.get_ref<const std::string&>(), true) + '\n';
    }
    return text;
}

std::string divergent_environment(const json& process, const ipc::Environment& local,
                                  const Style& style)
{
    const auto declared = process.find("env_declared");
    if (declared == process.end() || !declared->is_object()) return {};
    KeyValueTable table;
    bool any = false;
    for (const auto& [key, value] : declared->items()) {
        if (!value.is_string()) continue;
        const auto here = local.find(key);
        if (here != local.end() && here->second == value.get_ref<const std::string&>()) continue;
        table.add(escape_controls(key), escape_controls(value.get_ref<const std::string&>()));
        any = true;
    }
    if (!any) return {};
    return paint(" Divergent env variables from local env\n", Colour::bold, style) +
           table.text(style);
}

} // namespace

std::string describe_text(const json& process, std::int64_t now_ms, const ipc::Environment& local,
                          const Style& style)
{
    KeyValueTable table;
    add_state(table, process, now_ms);
    add_limits(table, process);
    add_program(table, process);
    add_life(table, process);
    const std::string name = member_text(process, "name");
    std::string text = paint(
        fmt::format(" Describing process with id {} - name {}\n", member_text(process, "id"), name),
        Colour::bold, style);
    text += table.text(style);
    text += last_exits(process, style);
    text += divergent_environment(process, local, style);
    text +=
        fmt::format(" `clusterctl logs {} --lines 1000` shows its logs, `clusterctl env {}` its "
                    "environment.\n",
                    name, member_text(process, "id"));
    return text;
}

} // namespace cluster::cli
