#include "cli/foreground_rules.hpp"

#include "cli/process_view.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <set>
#include <utility>

namespace cluster::cli {
namespace {

constexpr int kFailure = 1;
constexpr int kBySignal = 128; ///< as shells tell a death by signal

constexpr std::pair<int, Wish> kWishes[] = {
    {SIGTERM, Wish::stop},      {SIGINT, Wish::stop},      {SIGHUP, Wish::reload},
    {SIGCHLD, Wish::reap},      {SIGWINCH, Wish::nothing}, {SIGQUIT, Wish::forward},
    {SIGUSR1, Wish::forward},   {SIGUSR2, Wish::forward},  {SIGALRM, Wish::forward},
    {SIGVTALRM, Wish::forward}, {SIGPROF, Wish::forward},  {SIGIO, Wish::forward},
    {SIGPWR, Wish::forward},    {SIGURG, Wish::forward},
};

bool has(const json& process, const char* key)
{
    const auto member = process.find(key);
    return member != process.end() && !member->is_null();
}

/// The stop signal, where the process was asked to stop; else 0.
int asked_by(const json& process)
{
    if (!member_text(process, "cause").starts_with("stop asked")) return 0;
    return ipc::parse_signal(member_text(process, "kill_signal")).value_or(0);
}

int code_of(const json& process)
{
    const auto signal = static_cast<int>(member_number(process, "exit_signal"));
    const auto code = static_cast<int>(member_number(process, "exit_code"));
    const int asked = asked_by(process);
    const bool as_asked = asked != 0 && (signal == asked || code == kBySignal + asked);
    if (as_asked) return 0;
    if (signal != 0) return kBySignal + signal;
    if (code != 0) return code;
    const bool never_started = member_number(process, "started_at") == 0;
    const bool known = has(process, "exit_code") || never_started;
    return member_text(process, "status") == "errored" || !known ? kFailure : 0;
}

std::string how_it_ended(const json& process)
{
    const auto signal = static_cast<int>(member_number(process, "exit_signal"));
    if (signal == 0) return fmt::format("exited with code {}", member_number(process, "exit_code"));
    const char* name = ::sigabbrev_np(signal);
    return "was killed by " + (name ? std::string{"SIG"} + name : std::to_string(signal));
}

/// Somebody wanted the end: it is no news.
bool is_end_asked(std::string_view cause)
{
    return std::ranges::any_of(
        std::array{"stop", "delete", "reload", "scale", "kill", "the daemon"},
        [&](const char* what) { return cause.starts_with(what); });
}

std::string dump_line(const nlohmann::ordered_json& object)
{
    return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

} // namespace

Wish wish_of(int signal)
{
    const auto* const known = std::ranges::find(kWishes, signal, &std::pair<int, Wish>::first);
    if (known != std::end(kWishes)) return known->second;
    return signal >= SIGRTMIN && signal <= SIGRTMAX ? Wish::forward : Wish::nothing;
}

std::vector<int> signals_known()
{
    std::vector<int> all;
    for (const auto& [signal, wish] : kWishes)
        all.push_back(signal);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal)
        all.push_back(signal);
    return all;
}

bool any_left(const json& processes)
{
    return std::ranges::any_of(processes, [](const json& process) {
        const std::string status = member_text(process, "status");
        return (status != "stopped" && status != "errored") ||
               !member_text(process, "waits_for").empty();
    });
}

json with_ends(json processes, const Pids& pids, const Ends& ends)
{
    for (json& process : processes) {
        if (has(process, "exit_code") || has(process, "exit_signal")) continue;
        const auto pid = pids.find(member_number(process, "id"));
        const auto end = pid == pids.end() ? ends.end() : ends.find(pid->second);
        if (end == ends.end()) continue;
        const ipc::ExitStatus& status = end->second;
        process[status.signal != 0 ? "exit_signal" : "exit_code"] =
            status.signal != 0 ? status.signal : status.code;
    }
    return processes;
}

int exit_code_of(const json& processes)
{
    std::set<std::string> apps;
    int first = 0;
    for (const json& process : processes) {
        apps.insert(process.value("name", std::string{}));
        if (first == 0) first = code_of(process);
    }
    return first != 0 && apps.size() > 1 ? kFailure : first;
}

std::string note_of(const json& params)
{
    const std::string event = member_text(params, "event");
    const json process = params.value("process", json::object());
    const bool again = event == "exit";
    if (!again && event != "errored" && event != "stopped") return {};
    const bool well =
        member_number(process, "exit_code") == 0 && member_number(process, "exit_signal") == 0;
    if (event == "stopped" && (well || is_end_asked(member_text(params, "cause")))) return {};
    std::string text =
        fmt::format("[{}]({}) ", member_text(process, "name"), member_text(process, "id"));
    const bool ran = has(process, "exit_code") || has(process, "exit_signal");
    text += ran ? how_it_ended(process) : "could not be started";
    if (again)
        text += member_text(process, "status") == "waiting restart" ? ", will be started again"
                                                                    : ", is started again";
    if (event == "errored" && ran) text += ", is not started again: errored";
    return text;
}

std::vector<std::string> failures_of(const json& error)
{
    const json data = error.value("data", json{});
    const json failures = data.is_object() ? data.value("failures", json::array()) : json::array();
    if (failures.empty()) return {member_text(error, "message")};
    std::vector<std::string> texts;
    for (const json& failure : failures)
        if (member_text(failure, "stage") != "exit")
            texts.push_back(fmt::format("[{}]({}) {}", member_text(failure, "name"),
                                        member_text(failure, "id"),
                                        member_text(failure, "reason")));
    return texts;
}

json missing_apps(const json& declared, const json& processes)
{
    json missing = json::array();
    for (const json& app : declared) {
        const json name = app.value("name", json{});
        const bool there = std::ranges::any_of(
            processes, [&](const json& process) { return process.value("name", json{}) == name; });
        if (!there) missing.push_back(app);
    }
    return missing;
}

std::string output_line(const LogLine& line, LogFormat format, std::size_t name_width,
                        const Style& style)
{
    if (format != LogFormat::json) return log_line(line, format, name_width, style);
    nlohmann::ordered_json object;
    object["time"] = format_time(line.at);
    object["app"] = line.name;
    object["id"] = line.id;
    object["stream"] = line.error ? "stderr" : "stdout";
    object["message"] = line.text;
    return dump_line(object);
}

std::string said_line(std::string_view text, std::int64_t at)
{
    nlohmann::ordered_json object;
    object["time"] = format_time(at);
    object["app"] = nullptr;
    object["id"] = nullptr;
    object["stream"] = "supervisor";
    object["message"] = text;
    return dump_line(object);
}

} // namespace cluster::cli
