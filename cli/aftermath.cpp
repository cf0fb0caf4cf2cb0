#include "cli/aftermath.hpp"

#include "cli/process_view.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace cluster::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds kLimit = 120s; ///< something is always under way in an endless crash loop
/// A row that stands still may be about to move: what it waits for has not happened yet.
constexpr milliseconds kPatience = 1s;
constexpr int kPauseMs = 50;

bool in_transit(const json& process)
{
    const std::string status = member_text(process, "status");
    return status == "launching" || status == "stopping" || status == "waiting restart";
}

bool is_as_asked(const Change& change, const json& process)
{
    const std::string status = member_text(process, "status");
    if (change.method == "delete") return false; // it is still there
    if (change.method == "stop") return status == "stopped";
    if (change.method == "reset") return member_number(process, "restarts") == 0;
    if (change.method == "resurrect") return status == "online" || status == "stopped";
    if (change.method == "scale") return status == "online";
    return status == "online" && member_number(process, "started_at") >= change.asked_at;
}

bool is_reloading(const Aftermath& now)
{
    return std::ranges::any_of(now.processes, [&](const json& process) {
        const auto name = process.find("name");
        return name != process.end() &&
               std::ranges::find(now.reloading, *name) != now.reloading.end();
    });
}

/// "[api](0) is online with its old process", one for each row that is not as asked.
std::string differences(const Change& change, const Aftermath& now)
{
    const bool wants_new =
        change.method == "start" || change.method == "restart" || change.method == "reload";
    std::string text;
    for (const json& process : now.processes) {
        if (is_as_asked(change, process)) continue;
        const std::string status = member_text(process, "status");
        text += fmt::format("{}[{}]({}) is {}{}", text.empty() ? "" : ", ",
                            member_text(process, "name"), member_text(process, "id"), status,
                            wants_new && status == "online" ? " with its old process" : "");
    }
    if (change.method == "delete") return text;
    for (const json& target : now.missing)
        text += fmt::format(
            "{}{} is not there", text.empty() ? "" : ", ",
            escape_controls(target.is_string() ? target.get<std::string>() : ipc::dump(target)));
    return text;
}

ipc::RpcError not_as_asked(const Change& change, Aftermath now)
{
    const std::string rows = differences(change, now);
    return {.code = ipc::kFailed,
            .message = fmt::format("the daemon was restarted while it worked on this, and it is "
                                   "not as asked{}{}; ask again",
                                   rows.empty() ? "" : ": ", rows),
            .data = {{"processes", std::move(now.processes)}}};
}

/// Each target alone: one that is gone must not hide the others.
ipc::RpcResult<Aftermath> look(Context& context, const Change& change)
{
    Aftermath now;
    for (const json& target : change.targets) {
        auto answer = context.session.call(
            "list", {{"targets", json::array({target})}, {"cwd", current_folder()}});
        if (!answer && answer.error().code != ipc::kNotFound)
            return std::unexpected(answer.error());
        if (!answer) now.missing.push_back(target);
        if (!answer) continue;
        for (json& process : (*answer)["processes"])
            if (std::ranges::find(now.processes, process) == now.processes.end())
                now.processes.push_back(std::move(process));
    }
    const auto pong = context.session.call("ping", json::object());
    if (!pong) return std::unexpected(pong.error());
    now.reloading = pong->value("reloading", json::array());
    return now;
}

} // namespace

Change change_of(std::string_view method, const json& params, std::int64_t asked_at)
{
    Change change{.method = std::string{method}, .targets = json::array(), .asked_at = asked_at};
    if (const auto targets = params.find("targets"); targets != params.end())
        change.targets = *targets;
    if (const auto apps = params.find("apps"); apps != params.end())
        for (const json& app : *apps)
            change.targets.push_back(app.value("name", json{}));
    if (method == "scale") {
        change.targets.push_back(params.value("name", json{}));
        const json wanted = params.value("instances", json{});
        if (wanted.is_number_integer()) change.count = wanted.get<std::int64_t>();
    }
    if (change.targets.empty()) change.targets.push_back("all");
    return change;
}

Become what_became(const Change& change, const Aftermath& now)
{
    if (change.method == "delete" && now.processes.empty()) return Become::done;
    if (is_reloading(now) || std::ranges::any_of(now.processes, in_transit))
        return Become::under_way;
    const bool all =
        now.missing.empty() && std::ranges::all_of(now.processes, [&](const json& process) {
            return is_as_asked(change, process);
        });
    // How many "+2" would have come to is known to nobody any more.
    const bool enough =
        change.method != "scale" || std::cmp_equal(now.processes.size(), change.count);
    return all && enough ? Become::done : Become::otherwise;
}

ipc::RpcResult<json> find_out(Context& context, const Change& change)
{
    context.warn("the daemon was restarted while it worked on this; what was begun goes on by "
                 "itself");
    const milliseconds deadline = context.clock.now() + kLimit;
    milliseconds moved_at = context.clock.now();
    while (true) {
        auto now = look(context, change);
        if (!now) return std::unexpected(now.error());
        const Become became = what_became(change, *now);
        if (became == Become::done) return json{{"processes", std::move(now->processes)}};
        const milliseconds time = context.clock.now();
        if (became == Become::under_way) moved_at = time;
        if (time >= deadline || time - moved_at >= kPatience)
            return std::unexpected(not_as_asked(change, std::move(*now)));
        ::poll(nullptr, 0, kPauseMs);
    }
}

} // namespace cluster::cli
