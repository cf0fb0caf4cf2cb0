// A daemon that belongs to a foreground supervisor (`clusterctl run`): it ends when that does, and
// the output of its workers waits until that has taken it. Told by $CLUSTER_ATTENDED_BY, which
// passes to every manager and guardian that comes after, whichever version it is of.
#pragma once

#include <sys/types.h>

namespace cluster::supervisor {

inline constexpr const char* kAttendedBy = "CLUSTER_ATTENDED_BY";

/// The pid of the foreground supervisor; 0: there is none.
[[nodiscard]] pid_t attendant();

/// We get SIGTERM when `parent` ends (man 2 prctl, PR_SET_PDEATHSIG), at once when it has ended
/// already. 0: nothing happens.
void end_with(pid_t parent);

} // namespace cluster::supervisor
