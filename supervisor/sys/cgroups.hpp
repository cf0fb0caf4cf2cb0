// Control groups: one per worker, in which the kernel counts and limits its whole process tree
// (man 7 cgroups; Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/).
//
// Version 2 where it was delegated to us or is ours to use, else the controllers of version 1 that
// we may write to, each its own hierarchy. A worker's group has the same name everywhere, its
// unique_id; below the group that this daemon itself is in, so that what limits us limits it, too.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/sys/cgroup_mounts.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// The limits of one tree; 0 is none.
struct TreeLimits {
    std::uint64_t memory_high = 0; ///< bytes
    std::uint64_t memory_max = 0;  ///< bytes
    int cpu_max = 0;               ///< thousandths of a CPU
    int pids_max = 0;              ///< processes and threads

    bool operator==(const TreeLimits&) const = default;
};
[[nodiscard]] TreeLimits limits_of(const ipc::AppSpec& spec);

/// What counts and limits one thing. `version` 0: nobody does.
struct Controller {
    int version = 0;
    std::string base; ///< the folder that holds the groups of the workers
};

/// The groups of one worker's tree: absolute folders, one for version 2, one for each controller
/// of version 1; empty when it has none.
using GroupFolders = std::vector<std::string>;

class Cgroups {
public:
    struct Place {
        std::string home;           ///< tells the groups of several daemons apart
        std::vector<pid_t> daemons; ///< ours: they make way for groups with limits
        /// The group that we are in is ours to divide, and is made whole when all of us are gone:
        /// systemd cannot start a unit again whose group has limited groups in it.
        bool own_group = false;
    };
    Cgroups(ipc::System& system, Place place);

    /// Whether every worker gets a group, not only those with limits: we are in a delegated unit of
    /// systemd that `clusterctl startup` has written.
    [[nodiscard]] bool for_all();
    /// Who enforces `memory_high`, `memory_max`, `cpu_max`, `pids_max`.
    [[nodiscard]] const Controller& controller(std::string_view attribute);

    /// A fresh group with these limits. What nobody enforces is left out. Errors name the file.
    ipc::Result<GroupFolders> make(const std::string& name, const TreeLimits& limits);
    /// Sets the limits of groups that a daemon before us made: they are lost where the group of our
    /// unit was made whole for its restart.
    ipc::Result<void> renew(const GroupFolders& folders, const TreeLimits& limits);

    /// Whether `slow_down` can be had: version 1, where nobody enforces memory_high.
    [[nodiscard]] bool slows_down();
    /// Lets a tree have so many thousandths of a CPU; 0: as many as there are. Errors name the
    /// file.
    ipc::Result<void> slow_down(const GroupFolders& folders, int cpu);

private:
    void discover();
    bool is_delegated(const std::optional<OwnGroup>& own);
    bool prepare_v2();
    std::optional<std::string> v2_base();
    bool empty_but_for_us(const std::string& group);
    bool make_way(const std::string& group);
    bool enable(const std::string& group);
    ipc::Result<void> limit(const std::string& folder, int version, std::string_view controller,
                            const TreeLimits& limits);
    ipc::Result<void> write(const std::string& path, std::string_view text);

    ipc::System& system_;
    Place place_;
    std::string label_;
    std::optional<bool> asked_; ///< whether our group was delegated
    bool known_ = false;
    bool delegated_ = false;
    std::map<std::string, Controller, std::less<>> controllers_; ///< "memory", "pids", "cpu"
};

/// Pids in the groups; empty without any.
std::vector<pid_t> group_members(ipc::System& system, const GroupFolders& folders);
/// Kills all of them at once (cgroup.kill, Linux 5.14); false when the kernel cannot.
bool kill_group(ipc::System& system, const GroupFolders& folders);
/// Removes them; one with processes in it stays.
void remove_groups(ipc::System& system, const GroupFolders& folders);

/// What the kernel has done to a tree for its limits since the group was made.
struct GroupEvents {
    std::uint64_t out_of_memory = 0; ///< processes killed
    std::uint64_t refused_forks = 0;
    std::uint64_t throttled_ms = 0; ///< time that cpu_max took from it
};
[[nodiscard]] GroupEvents group_events(ipc::System& system, const GroupFolders& folders);
/// Bytes that the kernel counts for them, page cache included; empty where nobody counts.
[[nodiscard]] std::optional<std::uint64_t> group_memory(ipc::System& system,
                                                        const GroupFolders& folders);

} // namespace cluster::supervisor
