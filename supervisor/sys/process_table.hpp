// What /proc says of processes: one pass over all of them, and the trees of workers in it.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <span>
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

/// Whether one of its threads runs, or waits for a CPU or a disk (R and D in man 5 proc). False
/// when it is gone, true when nobody can tell.
[[nodiscard]] bool has_work(ipc::System& system, pid_t pid);

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

/// Few are added and removed and many asked for: in order, one after the other.
class PidSet {
public:
    PidSet() = default;
    PidSet(std::initializer_list<pid_t> pids) : PidSet{std::vector<pid_t>{pids}} {}
    PidSet(std::vector<pid_t> pids);
    void insert(pid_t pid);
    void erase(pid_t pid);
    [[nodiscard]] bool contains(pid_t pid) const;

private:
    std::vector<pid_t> pids_; ///< sorted
};

/// The part of the table in which one tree is, without a pass over /proc: the root with all below
/// it, and the younger orphans (children of `reapers` and of pid 1 that are not `known`) with all
/// below them.
std::vector<ProcessStat> read_part_of_table(ipc::System& system, const TreeRoot& root,
                                            const std::vector<pid_t>& reapers, const PidSet& known);

/// All processes of one moment, sorted so that each tree in it is found without a pass over all of
/// them: thousands end at once.
class ProcessForest {
public:
    /// `table` comes from read_process_table. `known` are the pids of workers and daemons: they are
    /// no orphans, so their environments need not be read.
    ProcessForest(ipc::System& system, std::vector<ProcessStat> table,
                  const std::vector<pid_t>& reapers, const PidSet& known = {});

    /// The members of the tree, deepest first and the root last, zombies left out: descendants by
    /// parent pid; members of the root's session or process group; and orphans (children of one of
    /// `reapers` or of pid 1) that carry the marker in their environment or, being unreadable, are
    /// left out.
    [[nodiscard]] std::vector<ProcessStat> tree_of(const TreeRoot& root) const;

private:
    struct Orphan {
        std::size_t at;
        mutable std::optional<std::string> environment; ///< read when first asked for
    };
    [[nodiscard]] std::span<const std::size_t> those(const std::vector<std::size_t>& order,
                                                     pid_t ProcessStat::* field, pid_t value) const;
    [[nodiscard]] std::optional<std::size_t> position_of(pid_t pid) const;
    [[nodiscard]] bool carries(const Orphan& orphan, std::string_view marker) const;
    [[nodiscard]] std::vector<ProcessStat> in_order(const std::vector<std::size_t>& tree,
                                                    const std::set<std::size_t>& inside,
                                                    pid_t root) const;

    ipc::System* system_;
    std::vector<ProcessStat> table_; ///< by pid
    std::vector<std::size_t> by_parent_, by_session_, by_group_;
    std::vector<pid_t> reapers_;
    std::vector<Orphan> orphans_;
};

/// The quick question after a worker has ended: may anything of its tree be left? False is certain.
/// Looks at the process group and at the children of `reapers`, without a pass over /proc. Ask
/// after the worker has been reaped: a zombie still counts as its group.
/// `known` are the pids of live workers and daemons that need no second look.
bool may_have_survivors(ipc::System& system, const TreeRoot& root,
                        const std::vector<pid_t>& reapers, const PidSet& known);

/// Live children of `reapers`, but for those of `known`, by the value of a variable in their
/// environment ("unique_id"): processes whose parent has gone.
std::multimap<std::string, pid_t> orphans_by(ipc::System& system, std::string_view variable,
                                             const std::vector<pid_t>& reapers,
                                             const PidSet& known);

/// Pids of the direct children of all threads of `pid` (/proc/PID/task/TID/children).
std::vector<pid_t> children_of(ipc::System& system, pid_t pid, int threads);

} // namespace cluster::supervisor
