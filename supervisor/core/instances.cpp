#include "supervisor/core/instances.hpp"

#include "ipc/wire/units.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

namespace cluster::supervisor {
namespace {

constexpr int kMaxInstances = 10'000;

/// Tell a process about its own parent: a channel, descriptors, a watchdog, a log. They name things
/// that a worker does not have.
constexpr std::string_view kParentsOwn[] = {
    "CLUSTER_OWN_CGROUP", "FDSTORE",       "JOURNAL_STREAM",  "LISTEN_FDNAMES",
    "LISTEN_FDS",         "LISTEN_PID",    "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",     "NOTIFY_SOCKET", "WATCHDOG_PID",    "WATCHDOG_USEC",
};

/// What a process manager (we or PM2) tells a worker of itself, beyond what worker_environment sets
/// anew: it must not pass from a worker that calls clusterctl to the ones started that way.
constexpr std::string_view kOuterWorkers[] = {
    "NODE_APP_INSTANCE",
    "PM2_JSON_PROCESSING",
    "PM2_USAGE",
    "autorestart",
    "autostart",
    "automation",
    "created_at",
    "instance_var",
    "km_link",
    "kill_retry_time",
    "merge_logs",
    "pm_uptime",
    "pmx",
    "restart_time",
    "status",
    "treekill",
    "unstable_restarts",
    "username",
    "vizion",
    "vizion_running",
    "watch",
    "windowsHide",
};

bool one_of(std::span<const std::string_view> names, std::string_view name)
{
    return std::ranges::find(names, name) != names.end();
}

bool filtered(const ipc::AppSpec& spec, const std::string& name)
{
    return std::ranges::any_of(spec.filter_env, [&](const std::string& part) {
        return !part.empty() && name.contains(part);
    });
}

ipc::Environment inherit(const ipc::AppSpec& spec, const ipc::Environment& from)
{
    if (!spec.inherit_env) return {};
    const bool inside_a_worker = from.contains("pm_id");
    ipc::Environment kept;
    for (const auto& [name, value] : from) {
        if (one_of(kParentsOwn, name) || filtered(spec, name)) continue;
        if (inside_a_worker && one_of(kOuterWorkers, name)) continue;
        kept.emplace_hint(kept.end(), name, value);
    }
    return kept;
}

/// The variable that each instance finds one higher. A value that is no number is left alone.
void increment(ipc::Environment& env, const std::string& name, int by)
{
    const auto [entry, missing] = env.try_emplace(name, "0");
    const auto base = ipc::parse_whole(entry->second);
    if (base && *base <= std::numeric_limits<std::int64_t>::max() - by)
        entry->second = std::to_string(*base + by);
}

} // namespace

int resolve_instances(const std::optional<ipc::Instances>& wanted, int cpus)
{
    if (!wanted) return 1;
    return std::clamp(wanted->relative ? cpus + wanted->count : wanted->count, 1, kMaxInstances);
}

std::vector<int> free_numbers(std::vector<int> taken, int count)
{
    std::ranges::sort(taken);
    std::vector<int> numbers;
    auto next_taken = taken.begin();
    for (int number = 0; std::ssize(numbers) < count; ++number) {
        next_taken = std::lower_bound(next_taken, taken.end(), number);
        if (next_taken == taken.end() || *next_taken != number) numbers.push_back(number);
    }
    return numbers;
}

ScalePlan plan_scale(const std::vector<InstanceView>& have, int wanted)
{
    const int surplus = static_cast<int>(have.size()) - wanted;
    if (surplus <= 0) return {.add = -surplus, .remove = {}};
    std::vector<InstanceView> leaving = have;
    std::ranges::sort(leaving, std::greater{}, &InstanceView::number);
    leaving.resize(static_cast<std::size_t>(surplus));
    ScalePlan plan;
    for (const InstanceView& worker : leaving)
        plan.remove.push_back(worker.id);
    return plan;
}

std::expected<int, std::string> parse_scale(std::string_view text, int have, int cpus)
{
    if (text == "max") return std::clamp(cpus, 1, kMaxInstances);
    const bool relative = text.starts_with('+') || text.starts_with('-');
    const std::string_view digits = relative ? text.substr(1) : text;
    const auto number = ipc::parse_whole(digits);
    if (!number || *number < 0 || *number > kMaxInstances)
        return std::unexpected("instances must be a number from 1 to " +
                               std::to_string(kMaxInstances) + ", +N, -N or max, got " +
                               std::string{text});
    const std::int64_t base = relative ? have : 0;
    const std::int64_t outcome = text.starts_with('-') ? base - *number : base + *number;
    if (outcome < 1 || outcome > kMaxInstances)
        return std::unexpected("instances must be from 1 to " + std::to_string(kMaxInstances) +
                               " in the end, got " + std::string{text} + " on " +
                               std::to_string(have));
    return static_cast<int>(outcome);
}

ipc::Environment worker_environment(const ipc::AppSpec& spec, const ipc::Environment& inherited,
                                    const WorkerIdentity& who)
{
    ipc::Environment env = inherit(spec, inherited);
    for (const auto& [name, value] : spec.env)
        env[name] = value;
    if (!spec.increment_var.empty()) increment(env, spec.increment_var, who.number);

    env["name"] = spec.name;
    env["namespace"] = spec.name_space;
    env["pm_id"] = std::to_string(who.id);
    env["instances"] = std::to_string(who.instances);
    env["exec_mode"] = spec.exec_mode == ipc::ExecMode::cluster ? "cluster_mode" : "fork_mode";
    env["exec_interpreter"] = spec.interpreter;
    env["pm_exec_path"] = spec.script;
    env["pm_cwd"] = spec.cwd;
    env["pm_out_log_path"] = who.out_file;
    env["pm_err_log_path"] = who.error_file;
    env["pm_pid_path"] = who.pid_file;
    env["unique_id"] = who.unique_id;
    env["CLUSTER_HOME"] = who.home;
    if (!spec.instance_var.empty()) env[spec.instance_var] = std::to_string(who.number);
    return env;
}

} // namespace cluster::supervisor
