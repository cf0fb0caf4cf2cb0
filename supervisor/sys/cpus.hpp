// Which CPUs processes may run on (man 2 sched_setaffinity).
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace cluster::supervisor {

/// A bit for each CPU, as the kernel takes it.
using CpuMask = std::vector<unsigned long>;

/// `count` CPUs of those that we may run on, beginning with the `from`th, in a circle; all of them
/// where there are no more. Empty when they cannot be known.
CpuMask some_cpus(std::size_t count, std::size_t from);

/// All threads of those processes run there from now on, and what they start. Who has gone, or may
/// not be moved, stays as it is.
void keep_on_cpus(ipc::System& system, const std::vector<pid_t>& pids, const CpuMask& cpus);

} // namespace cluster::supervisor
