// Finds what a daemon before us left: descriptors that a process still holds, and processes that
// carry our mark. For when nobody has kept them for us.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/sys/process_table.hpp"

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// Descriptors of our own for those pipes and sockets of these inodes that `pid` has open: a pipe
/// is opened once more, for both and not blocking; a socket is duplicated (man 2 pidfd_getfd, which
/// needs the right to trace the process). Those that it has not got, or that we may not have, are
/// left out.
[[nodiscard]] std::vector<ipc::UniqueFd> take_back(ipc::System& system, pid_t pid,
                                                   std::set<std::uint64_t> inodes);

/// A process that a daemon of this home has started, or a descendant of one.
struct MarkedProcess {
    ProcessStat stat;
    std::string unique_id; ///< of the worker
};

/// All of them but `spared`: their environment says CLUSTER_HOME=`home` and unique_id. One that is
/// still on its way to exec (it looks like the manager that made it) is waited for, 1 s at most.
[[nodiscard]] std::vector<MarkedProcess> find_marked(ipc::System& system, const std::string& home,
                                                     const std::vector<pid_t>& spared);

/// SIGKILL to all of them, until they are gone (1 s at most).
void end_marked(ipc::System& system, const std::vector<MarkedProcess>& processes);

} // namespace cluster::supervisor
