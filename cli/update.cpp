#include "cli/update.hpp"

#include "cli/process_view.hpp"

#include <fmt/format.h>

namespace cluster::cli {
namespace {

std::string count_workers(std::size_t count)
{
    return fmt::format("{} worker{}", count, count == 1 ? "" : "s");
}

} // namespace

Running running_in(const json& processes)
{
    Running running;
    for (const json& process : processes)
        if (const auto pid = member_number(process, "pid"); pid > 0)
            running[member_number(process, "id")] = pid;
    return running;
}

UpdateReport report_update(const json& outcome, const Running& before, const Running& after)
{
    UpdateReport report{.from = member_text(outcome, "from"),
                        .to = member_text(outcome, "to"),
                        .ok = outcome.value("ok", json(false)) == true,
                        .reason = member_text(outcome, "reason")};
    if (outcome.contains("gap_ms")) report.gap_ms = member_number(outcome, "gap_ms");
    for (const auto& [id, pid] : before) {
        const auto now = after.find(id);
        if (now != after.end() && now->second == pid)
            ++report.untouched;
        else
            report.changed.push_back(id);
    }
    return report;
}

json outcome_without_word(const json& begun, const std::string& version)
{
    const std::string to = member_text(begun, "to");
    return {{"from", begun.is_object() ? member_text(begun, "from") : version},
            {"to", to},
            {"ok", to == version},
            {"reason", "the daemon was killed in the middle of it; ask again"}};
}

std::string update_text(const UpdateReport& report)
{
    if (!report.ok)
        return fmt::format("clusterd {} did not take over: {}; clusterd {} goes on, {} untouched",
                           report.to.empty() ? "(new)" : report.to,
                           report.reason.empty() ? "it gave no reason" : report.reason, report.from,
                           count_workers(report.untouched));
    const std::string text = fmt::format("clusterd {} -> {}, {} untouched", report.from, report.to,
                                         count_workers(report.untouched));
    return report.gap_ms ? fmt::format("{}, gap {} ms", text, *report.gap_ms) : text;
}

json update_json(const UpdateReport& report)
{
    return {{"from", report.from},
            {"to", report.to},
            {"ok", report.ok},
            {"reason", report.reason},
            {"gap_ms", report.gap_ms ? json(*report.gap_ms) : json()},
            {"workers", {{"untouched", report.untouched}, {"changed", report.changed}}}};
}

} // namespace cluster::cli
