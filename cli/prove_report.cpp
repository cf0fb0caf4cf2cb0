#include "cli/prove_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::string_view kLossNames[] = {"refused", "reset", "cut", "timed_out", "status"};

/// In a sentence.
std::string_view loss_text(Loss loss)
{
    constexpr std::string_view kTexts[] = {"refused", "reset before the answer",
                                           "cut in the answer", "timed out",
                                           "answered with an error status"};
    return kTexts[static_cast<std::size_t>(loss)];
}

bool is_before(const ProvedRequest& request, const ProveLog& log)
{
    return request.end < log.begin;
}

/// Where a loss belongs in time: what was never answered is counted from where it was sent.
microseconds lost_at(const ProvedRequest& request)
{
    return request.loss == Loss::timed_out ? request.begin : request.end;
}

std::string phase_at(microseconds when, const ProveLog& log)
{
    if (when >= log.end) return "after the reload";
    std::string phase;
    for (const PhaseMark& mark : log.phases)
        if (mark.at <= when) phase = mark.what;
    return phase;
}

/// The value below which 99 of 100 are; 0 for none.
microseconds p99_of(std::vector<microseconds> waits)
{
    if (waits.empty()) return microseconds{0};
    const auto at = waits.begin() + static_cast<std::ptrdiff_t>((waits.size() * 99 + 99) / 100 - 1);
    std::ranges::nth_element(waits, at);
    return *at;
}

double ms(microseconds time)
{
    return static_cast<double>(time.count()) / 1000;
}

std::string ms_text(microseconds time)
{
    return time < microseconds{100'000} ? fmt::format("{:.1f} ms", ms(time))
                                        : fmt::format("{:.0f} ms", ms(time));
}

std::string seconds_text(microseconds time)
{
    return fmt::format("{:.3f} s", ms(time) / 1000);
}

/// Whether it counts as lost, now that it is known what the path answers normally.
std::optional<Loss> judge(const ProvedRequest& request, const std::set<int>& normal)
{
    if (request.loss) return request.loss;
    const bool fault = request.status >= 500 && !normal.contains(request.status);
    return fault ? std::optional{Loss::status} : std::nullopt;
}

/// What the path answered while nothing was being done.
std::set<int> normal_statuses(const ProveLog& log)
{
    std::set<int> statuses;
    for (const ProvedRequest& request : log.requests)
        if (is_before(request, log) && !request.loss) statuses.insert(request.status);
    return statuses;
}

void add_loss(ProveReport& report, const ProvedRequest& request, Loss loss, const ProveLog& log)
{
    ++report.lost;
    const microseconds at = lost_at(request) - log.begin;
    const std::string& address = log.addresses.at(request.address);
    const std::string phase = phase_at(lost_at(request), log);
    auto group = std::ranges::find_if(report.losses, [&](const LossGroup& known) {
        return known.loss == loss && known.address == address && known.phase == phase;
    });
    if (group == report.losses.end())
        group = report.losses.insert(group, {loss, address, phase, 0, at, at});
    ++group->count;
    group->first = std::min(group->first, at);
    group->last = std::max(group->last, at);
}

std::string loss_line(const LossGroup& group)
{
    const std::string when =
        group.count == 1
            ? fmt::format("{} after", seconds_text(group.first))
            : fmt::format("{} to {} after", seconds_text(group.first), seconds_text(group.last));
    const std::string during = group.phase.empty()                 ? ""
                               : group.phase == "after the reload" ? ", when it was over"
                                                                   : ", during " + group.phase;
    return fmt::format("{} {} at {}, {} the reload began{}", grouped(group.count),
                       loss_text(group.loss), group.address, when, during);
}

std::string kernel_line(const ProveReport& report)
{
    std::vector<std::string> parts;
    parts.reserve(report.kernel.size());
    for (const auto& [name, growth] : report.kernel)
        parts.push_back(fmt::format("{} {:+}", name, growth));
    return fmt::format("kernel, whole network namespace: {}", fmt::join(parts, ", "));
}

} // namespace

std::string_view loss_name(Loss loss)
{
    return kLossNames[static_cast<std::size_t>(loss)];
}

ProveReport summarize(const ProveLog& log)
{
    ProveReport report;
    report.reload = log.end - log.begin;
    report.not_sent = log.not_sent;
    const std::set<int> normal = normal_statuses(log);
    std::vector<microseconds> waits, waits_before;
    for (const ProvedRequest& request : log.requests) {
        const bool before = is_before(request, log);
        ++(before ? report.requests_before : report.requests);
        if (!request.loss) (before ? waits_before : waits).push_back(request.end - request.begin);
        if (before) {
            report.lost_before += request.loss ? 1 : 0;
            continue;
        }
        report.raced += request.raced ? 1 : 0;
        if (request.status != 0) ++report.statuses[request.status];
        if (const auto loss = judge(request, normal)) add_loss(report, request, *loss, log);
    }
    for (const auto& [status, count] : report.statuses)
        if (!normal.contains(status)) report.new_statuses.push_back(status);
    std::ranges::sort(report.losses, {}, &LossGroup::first);
    if (!waits.empty()) report.longest = std::ranges::max(waits);
    report.p99 = p99_of(std::move(waits));
    report.p99_before = p99_of(std::move(waits_before));
    for (const auto& [name, value] : log.counters_after)
        if (const auto before = log.counters_before.find(name); before != log.counters_before.end())
            report.kernel[name] =
                static_cast<std::int64_t>(value) - static_cast<std::int64_t>(before->second);
    return report;
}

std::vector<std::string> report_lines(const ProveReport& report, const ProveLog& log)
{
    std::vector<std::string> lines{fmt::format("{} of {} requests lost in a reload of {:.1f} s",
                                               grouped(report.lost), grouped(report.requests),
                                               ms(report.reload) / 1000)};
    for (const LossGroup& group : report.losses)
        lines.push_back("  " + loss_line(group));
    lines.push_back(fmt::format("  asked {} for {}: {} clients with a connection for each request, "
                                "{} with one that is kept",
                                fmt::join(log.addresses, ", "), log.path, log.fresh_clients,
                                log.kept_clients));
    lines.push_back(fmt::format("  p99 {}, longest wait {} (before the reload: p99 {})",
                                ms_text(report.p99), ms_text(report.longest),
                                ms_text(report.p99_before)));
    if (report.raced > 0)
        lines.push_back(fmt::format(
            "  {} raced: sent while the server closed the kept connection, and repeated",
            grouped(report.raced)));
    for (const int status : report.new_statuses)
        lines.push_back(fmt::format("  {} answers had the status {}, which was not seen before",
                                    grouped(report.statuses.at(status)), status));
    if (report.lost_before > 0)
        lines.push_back(fmt::format("  {} of {} requests were lost before the reload already",
                                    grouped(report.lost_before), grouped(report.requests_before)));
    if (report.not_sent > 0)
        lines.push_back(fmt::format("  {} requests could not be sent: ports or descriptors ran out "
                                    "on this side",
                                    grouped(report.not_sent)));
    if (!report.kernel.empty()) lines.push_back("  " + kernel_line(report));
    return lines;
}

json report_json(const ProveReport& report, const ProveLog& log)
{
    constexpr std::size_t kMostLosses = 1000;
    const std::set<int> normal = normal_statuses(log);
    json losses = json::array();
    for (const ProvedRequest& request : log.requests) {
        const auto loss = is_before(request, log) ? std::nullopt : judge(request, normal);
        if (!loss || losses.size() == kMostLosses) continue;
        losses.push_back({{"kind", loss_name(*loss)},
                          {"address", log.addresses.at(request.address)},
                          {"at_ms", ms(lost_at(request) - log.begin)},
                          {"waited_ms", ms(request.end - request.begin)},
                          {"status", request.status},
                          {"phase", phase_at(lost_at(request), log)}});
    }
    json statuses = json::object();
    for (const auto& [status, count] : report.statuses)
        statuses[std::to_string(status)] = count;
    return {{"requests", report.requests},
            {"lost", report.lost},
            {"raced", report.raced},
            {"not_sent", report.not_sent},
            {"losses", std::move(losses)},
            {"statuses", std::move(statuses)},
            {"new_statuses", report.new_statuses},
            {"p99_ms", ms(report.p99)},
            {"longest_ms", ms(report.longest)},
            {"reload_ms", ms(report.reload)},
            {"before",
             {{"requests", report.requests_before},
              {"lost", report.lost_before},
              {"p99_ms", ms(report.p99_before)}}},
            {"addresses", log.addresses},
            {"path", log.path},
            {"clients", {{"fresh", log.fresh_clients}, {"kept", log.kept_clients}}},
            {"rate", log.rate},
            {"kernel", {{"scope", "network namespace"}, {"counters", report.kernel}}}};
}

std::string grouped(std::size_t number)
{
    std::string text = std::to_string(number);
    for (std::ptrdiff_t at = std::ssize(text) - 3; at > 0; at -= 3)
        text.insert(static_cast<std::size_t>(at), ",");
    return text;
}

} // namespace cluster::cli
