// Processes of workers whose daemon is gone altogether: guardian and manager were killed together,
// so that nobody watched them any more. They belong to pid 1 or another reaper by now; what tells
// them is the variable `unique_id` that each worker got.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// Live processes that carry one of `unique_ids` in their environment, and everything below them or
/// in their sessions. Never one of `spared` (the daemon itself: it may have been started by such a
/// process). One whose environment may not be read, or that has overwritten it, is found only as
/// somebody's descendant.
std::vector<pid_t> find_leftovers(ipc::System& system, const std::set<std::string>& unique_ids,
                                  const std::set<pid_t>& spared);

/// SIGKILL to all of them, until none is left. How many there were at first; 0 means that nothing
/// was waited for. Gives up after a second: what outlives SIGKILL that long sits in the kernel.
std::size_t kill_leftovers(ipc::System& system, const std::set<std::string>& unique_ids,
                           const std::set<pid_t>& spared);

} // namespace cluster::supervisor
