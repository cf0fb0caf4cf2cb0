// The child's side of a launch: the only code of ours that runs between clone and exec. Child and
// parent share their memory (CLONE_VM) while the parent's thread is suspended (CLONE_VFORK), so
// this allocates nothing, takes no lock, and makes raw system calls: glibc's setuid and its like
// signal the other threads, which here are the parent's.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace cluster::supervisor {

enum class ChildStage {
    session,
    cgroup,
    affinity,
    rlimits,
    priority,
    groups,
    gid,
    uid,
    cwd,
    fds,
    exec
};

/// man 2 prlimit; the kernel's struct rlimit64.
struct ChildRlimit {
    int resource = 0;
    std::uint64_t soft_hard[2] = {0, 0};
};

/// What the child needs, prepared by the parent; the result comes back in the same place.
struct ChildJob {
    unsigned fds_end = 0; ///< it shares our descriptors and needs those below this; 0: has its own
    const char* program = nullptr;
    char* const* argv = nullptr;
    char* const* environment = nullptr;
    const char* cwd = nullptr; ///< null stays
    const int* fds = nullptr;  ///< become 0, 1, 2, …
    int* moved_fds = nullptr;  ///< room for as many
    unsigned fd_count = 0;
    const int* cgroups = nullptr; ///< cgroup.procs files of the groups to enter
    unsigned cgroup_count = 0;
    const unsigned long* cpus = nullptr; ///< mask of the CPUs to run on; null keeps
    std::size_t cpus_bytes = 0;
    const ChildRlimit* rlimits = nullptr;
    unsigned rlimit_count = 0;
    const int* nice = nullptr;           ///< null keeps
    const char* oom_score_adj = nullptr; ///< digits for /proc/self/oom_score_adj; null keeps
    bool no_new_privileges = false;
    char* listen_pid = nullptr; ///< where the child writes its pid, at least 12 bytes
    int umask = -1;             ///< -1 keeps
    bool change_identity = false;
    uid_t uid = 0;
    gid_t gid = 0;
    const gid_t* groups = nullptr;
    std::size_t group_count = 0;

    ChildStage stage = ChildStage::exec; ///< out: where it failed
    int error = 0;                       ///< out: errno, 0 when the program runs
};

/// The entry for clone(2); `job` is a ChildJob. Returns only by execve or exit.
int run_child(void* job);

} // namespace cluster::supervisor
