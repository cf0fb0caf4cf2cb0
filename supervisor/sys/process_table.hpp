// What /proc says of processes: one pass over all of them, and the trees of workers in it.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// The fields of /proc/PID/stat that we use (man 5 proc). Times are in clock ticks.
struct ProcessStat {
    pid_t pid = 0;
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    char state = '?'; ///< R, S, D, T, Z …
    int threads = 1;
    std::uint64_t start_time = 0;   ///< ticks since boot: with the pid, the identity of a process
    std::uint64_t cpu_ticks = 0;    ///< user + system of all its threads
    std::uint64_t waited_ticks = 0; ///< the same of those below it that were waited for
    std::uint64_t resident_bytes = 0;
};

/// Parses the text of /proc/PID/stat; the command name in it may hold blanks and parentheses.
std::optional<ProcessStat> parse_stat(std::string_view text);
ipc::Result<ProcessStat> read_stat(ipc::System& system, pid_t pid);

/// Ended, whether or not its parent has looked. A zombie whose other threads still run (its first
/// one has left by pthread_exit) is alive.
[[nodiscard]] bool is_dead(const ProcessStat& process);
/// Whether it is between two programs. The kernel shows an empty environment then; otherwise it
/// knows where the environment ends, also that of a program that was given an empty one. Where the
/// environment may not be read, this says nothing.
[[nodiscard]] bool is_in_exec(ipc::System& system, pid_t pid);
/// Whether `read_stat` says that there is no such process; other errors say nothing about it.
[[nodiscard]] bool is_gone(const ipc::Error& error);
/// It is still that process, and alive; true when nobody can tell, for want of descriptors.
[[nodiscard]] bool lives(ipc::System& system, pid_t pid, std::uint64_t start_time);

/// How a process has ended that nobody has waited for yet; empty when it lives, is gone, or is
/// another one by now.
std::optional<ipc::ExitStatus> zombie_status(ipc::System& system, pid_t pid,
                                             std::uint64_t start_time);

/// Every process of this pid namespace, in one pass.
std::vector<ProcessStat> read_process_table(ipc::System& system);

/// Which processes belong to one worker.
struct TreeRoot {
    pid_t pid = 0; ///< of the worker itself, alive or not; also its session and group
    std::uint64_t start_time = 0; ///< of the worker itself: nothing of its tree is older
    std::string marker;           ///< "unique_id=…": stands in the environment of every descendant
};

/// The members of the tree, deepest first and the root last, zombies left out: descendants by
/// parent pid; members of the root's session or process group; and orphans (children of one of
/// `reapers` or of pid 1) that carry the marker in their environment or, being unreadable, are left
/// out. `table` comes from read_process_table. `known` are the pids of other workers and daemons:
/// they are no orphans, so their environments need not be read.
std::vector<ProcessStat> tree_of(ipc::System& system, const std::vector<ProcessStat>& table,
                                 const TreeRoot& root, const std::vector<pid_t>& reapers,
                                 const std::vector<pid_t>& known = {});

/// The quick question after a worker has ended: may anything of its tree be left? False is certain.
/// Looks at the process group and at the children of `reapers`, without a pass over /proc. Ask
/// after the worker has been reaped: a zombie still counts as its group.
/// `known` are the pids of live workers and daemons that need no second look.
bool may_have_survivors(ipc::System& system, const TreeRoot& root,
                        const std::vector<pid_t>& reapers, const std::vector<pid_t>& known);

/// Live children of `reapers`, but for those of `known`, by the value of a variable in their
/// environment ("unique_id"): processes whose parent has gone.
std::multimap<std::string, pid_t> orphans_by(ipc::System& system, std::string_view variable,
                                             const std::vector<pid_t>& reapers,
                                             const std::vector<pid_t>& known);

/// Pids of the direct children of all threads of `pid` (/proc/PID/task/TID/children).
std::vector<pid_t> children_of(ipc::System& system, pid_t pid, int threads);

} // namespace cluster::supervisor
