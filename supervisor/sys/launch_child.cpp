#include "supervisor/sys/launch_child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

// Sanitizers watch stacks and calls of threads that they know; this one they do not.
#define CLUSTER_CHILD                                                                              \
    __attribute__((no_sanitize("address", "undefined", "thread"),                                  \
                   disable_sanitizer_instrumentation))

namespace cluster::supervisor {
namespace {

/// A zeroed struct kernel_sigaction of any architecture: SIG_DFL, no flags, empty mask.
constexpr std::uint64_t kDefaultAction[8] = {};
constexpr std::uint64_t kNoSignals = 0;

[[noreturn]] CLUSTER_CHILD void give_up(ChildJob& job, ChildStage stage)
{
    job.error = errno;
    job.stage = stage;
    while (true)
        ::syscall(SYS_exit_group, 127);
}

/// exec resets handlers by itself, but not ignored signals, and until then a handler of ours would
/// run on the shared memory.
CLUSTER_CHILD void reset_signals()
{
    for (int number = 1; number <= 64; ++number) // SIGKILL and SIGSTOP refuse, which is fine
        ::syscall(SYS_rt_sigaction, number, kDefaultAction, nullptr, sizeof(std::uint64_t));
}

/// First of all: what follows opens and closes. The kernel copies what is below `fds_end` alone,
/// while a table of its own, copied by clone, costs as much as we have open (Linux 5.9,
/// close_range).
CLUSTER_CHILD void leave_shared_fds(ChildJob& job)
{
    constexpr unsigned kUnshare = 2; // CLOSE_RANGE_UNSHARE
    if (job.fds_end == 0 || ::syscall(SYS_close_range, job.fds_end, ~0U, kUnshare) == 0) return;
    if (::syscall(SYS_unshare, CLONE_FILES) < 0) give_up(job, ChildStage::fds);
}

/// Before anything else of ours: what follows counts for the group. "0" is whoever writes.
CLUSTER_CHILD void enter_cgroups(ChildJob& job)
{
    for (unsigned i = 0; i < job.cgroup_count; ++i)
        if (::syscall(SYS_write, job.cgroups[i], "0", 1) < 0) give_up(job, ChildStage::cgroup);
}

CLUSTER_CHILD void set_affinity(ChildJob& job)
{
    if (job.cpus && ::syscall(SYS_sched_setaffinity, 0, job.cpus_bytes, job.cpus) < 0)
        give_up(job, ChildStage::affinity);
}

/// With the daemon's rights, which may raise what a user may not.
CLUSTER_CHILD void set_priority(ChildJob& job)
{
    constexpr int kProcess = 0; // PRIO_PROCESS, and the second 0 is the caller
    if (job.nice && ::syscall(SYS_setpriority, kProcess, 0, *job.nice) < 0)
        give_up(job, ChildStage::priority);
    if (!job.oom_score_adj) return;
    const long file = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);
    std::size_t size = 0;
    while (job.oom_score_adj[size] != '\0')
        ++size;
    if (file < 0 || ::syscall(SYS_write, file, job.oom_score_adj, size) < 0)
        give_up(job, ChildStage::priority);
    ::syscall(SYS_close, file);
}

CLUSTER_CHILD void set_rlimits(ChildJob& job)
{
    for (unsigned i = 0; i < job.rlimit_count; ++i) {
        const ChildRlimit& limit = job.rlimits[i];
        if (::syscall(SYS_prlimit64, 0, limit.resource, limit.soft_hard, nullptr) < 0)
            give_up(job, ChildStage::rlimits);
    }
}

CLUSTER_CHILD void change_identity(ChildJob& job)
{
    if (::syscall(SYS_setgroups, job.group_count, job.groups) < 0) give_up(job, ChildStage::groups);
    if (::syscall(SYS_setresgid, job.gid, job.gid, job.gid) < 0) give_up(job, ChildStage::gid);
    if (::syscall(SYS_setresuid, job.uid, job.uid, job.uid) < 0) give_up(job, ChildStage::uid);
}

/// First above the target range, so that no source is overwritten before its turn and none equals
/// its target (dup onto itself would keep close-on-exec), then down to 0, 1, 2, …
CLUSTER_CHILD void place_fds(ChildJob& job)
{
    for (unsigned i = 0; i < job.fd_count; ++i) {
        const long moved = ::syscall(SYS_fcntl, job.fds[i], F_DUPFD_CLOEXEC, job.fd_count);
        if (moved < 0) give_up(job, ChildStage::fds);
        job.moved_fds[i] = static_cast<int>(moved);
    }
    for (unsigned i = 0; i < job.fd_count; ++i)
        if (::syscall(SYS_dup3, job.moved_fds[i], i, 0) < 0) give_up(job, ChildStage::fds);
    if (::syscall(SYS_close_range, job.fd_count, ~0U, 0) < 0) give_up(job, ChildStage::fds);
}

/// man 3 sd_listen_fds: a program takes the sockets only when LISTEN_PID is its own pid, which
/// nobody knows before the clone.
CLUSTER_CHILD void write_pid(char* at)
{
    char digits[12];
    int count = 0;
    for (long rest = ::syscall(SYS_getpid); rest > 0; rest /= 10)
        digits[count++] = static_cast<char>('0' + rest % 10);
    while (count > 0)
        *at++ = digits[--count];
    *at = '\0';
}

} // namespace

CLUSTER_CHILD int run_child(void* argument)
{
    ChildJob& job = *static_cast<ChildJob*>(argument);
    leave_shared_fds(job);
    reset_signals();
    if (::syscall(SYS_setsid) < 0) give_up(job, ChildStage::session);
    enter_cgroups(job);
    set_affinity(job);
    set_priority(job);
    place_fds(job);   // before a limit of open files counts
    set_rlimits(job); // before the right to raise one is gone
    if (job.change_identity) change_identity(job);
    if (job.no_new_privileges) ::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (job.umask >= 0) ::syscall(SYS_umask, job.umask);
    if (job.cwd && ::syscall(SYS_chdir, job.cwd) < 0) give_up(job, ChildStage::cwd);
    write_pid(job.listen_pid);
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kNoSignals, nullptr, sizeof kNoSignals);
    ::syscall(SYS_execve, job.program, job.argv, job.environment);
    give_up(job, ChildStage::exec);
}

} // namespace cluster::supervisor
