// Counting instances: how many an app wants, which numbers they get, who goes when it shrinks.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// `wanted` against the CPUs at hand; at least 1.
[[nodiscard]] int resolve_instances(const std::optional<ipc::Instances>& wanted, int cpus);

/// The smallest numbers not in `taken`, ascending: what `count` new instances are called (PM2's
/// NODE_APP_INSTANCE).
[[nodiscard]] std::vector<int> free_numbers(std::vector<int> taken, int count);

struct ScalePlan {
    int add = 0;
    std::vector<int> remove; ///< worker ids, highest instance number first
    bool operator==(const ScalePlan&) const = default;
};
struct InstanceView {
    int id;
    int number;
};
/// What brings the app from `have` to `wanted` workers. The newest numbers go first, so that
/// instance 0 (often the one that runs schedulers) stays.
[[nodiscard]] ScalePlan plan_scale(const std::vector<InstanceView>& have, int wanted);

/// "3" → 3, "+2" and "-1" relative to `have`, "max" → `cpus`. Errors name what is allowed; the
/// outcome is at least 1 and at most 10000.
[[nodiscard]] std::expected<int, std::string> parse_scale(std::string_view text, int have,
                                                          int cpus);

/// The environment of one worker, low to high: what is inherited and not filtered, the app's own,
/// then ours (`instance_var`, `increment_var` counted up by `number`, PM2's name, namespace, pm_id,
/// instances, exec_mode, unique_id ...). `script` etc. come from the spec.
struct WorkerIdentity {
    int id;                ///< pm_id
    int number;            ///< instance number
    int instances;         ///< of the app
    std::string unique_id; ///< stays the same over restarts; marks every process of the tree
    std::string home;      ///< $CLUSTER_HOME
    std::string out_file, error_file, pid_file; ///< resolved paths
};
[[nodiscard]] ipc::Environment worker_environment(const ipc::AppSpec& spec,
                                                  const ipc::Environment& inherited,
                                                  const WorkerIdentity& who);

} // namespace cluster::supervisor
