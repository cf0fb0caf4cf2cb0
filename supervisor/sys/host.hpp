// What the machine offers this daemon.
#pragma once

#include "ipc/base/system.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// CPUs that `instances: "max"` means: the affinity mask (man 2 sched_getaffinity), cut by the
/// cgroup's CPU quota (v2 cpu.max of this cgroup and its parents, v1 cpu.cfs_quota_us), rounded up;
/// at least 1.
int usable_cpus(ipc::System& system);

/// The soft limit of open files raised to the hard one; the limit that is in force afterwards.
unsigned long raise_open_file_limit();

/// Our environment as "NAME=value".
std::vector<std::string> own_environment();

/// man 2 clock_gettime, CLOCK_MONOTONIC: the same in every process of this machine.
std::uint64_t monotonic_ms();

/// Size of the file system that the folder lies in, for those without privileges; 0 unknown.
std::uint64_t disk_bytes(const std::string& folder);

/// Gives back what a burst of work has left behind: free heap, and the mapped pages of our own
/// program, most of which start-up and rare requests have touched. What is needed again is mapped
/// again from the page cache, a minor fault for each 64 KiB.
void release_idle_memory();

} // namespace cluster::supervisor
