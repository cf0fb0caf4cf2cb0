// Where the hierarchies of control groups are mounted, and where this process is in them.
#pragma once

#include "ipc/base/system.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// Our own group in one hierarchy.
struct OwnGroup {
    std::string mount; ///< where the hierarchy is mounted
    std::string path;  ///< below it: "/a/b"; "" for its root, and for what the mount does not show

    [[nodiscard]] std::string folder() const { return mount + path; }
};

/// `controller` "" is version 2; any other name is looked for in version 1. Empty where there is no
/// such hierarchy. man 5 proc (mountinfo), man 7 cgroups (/proc/self/cgroup).
[[nodiscard]] std::optional<OwnGroup>
own_group(std::string_view mountinfo, std::string_view cgroups, std::string_view controller);

/// The same, read from /proc/self.
[[nodiscard]] std::optional<OwnGroup> own_group(ipc::System& system, std::string_view controller);

/// Whether a list "cpu,cpuacct", "cpu memory\n" or "+cpu +memory" has the word.
[[nodiscard]] bool lists(std::string_view list, std::string_view word);

} // namespace cluster::supervisor
