// CPU and memory of worker trees, sampled only while somebody looks or a limit is set. One sampler
// for all, so that every figure is the difference of two of its own samples.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/sys/process_table.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

namespace cluster::supervisor {

struct Usage {
    std::uint64_t memory = 0;    ///< bytes resident, whole tree
    double cpu = 0;              ///< percent of one CPU, whole tree, between the last two samples
    int tasks = 0;               ///< processes and threads of the tree
    std::uint64_t cpu_ticks = 0; ///< clock ticks of the tree and of what it has waited for
};

class Sampler {
public:
    explicit Sampler(ipc::System& system);

    /// Samples the tree below `pid` (by parent pid, through children_of: no pass over /proc), and
    /// what `strays` names besides: orphans of the tree, members of its cgroup.
    /// Within `kFresh` of the last sample of that worker the last figures come back; where there
    /// are very many workers, within a millisecond for each. The first sample's cpu is the average
    /// over the life of the tree's processes.
    Usage sample(int worker_id, pid_t pid, std::uint64_t start_time, std::chrono::milliseconds now,
                 const std::function<std::vector<pid_t>()>& strays = {});
    void forget(int worker_id);

    static constexpr std::chrono::milliseconds kFresh{250};
    static constexpr std::chrono::milliseconds kFreshEach{1};

private:
    struct Last {
        pid_t pid = 0;
        std::uint64_t start_time = 0;
        std::chrono::milliseconds at{0};
        Usage usage;
    };
    ipc::System& system_;
    std::unordered_map<int, Last> last_;
};

/// Clock ticks as seconds.
[[nodiscard]] double cpu_seconds(std::uint64_t ticks);

/// What the processes take in truth: memory that several share counts in parts (PSS). Slow, about
/// 0.1 ms for each. 0: none of them may be read.
[[nodiscard]] std::uint64_t proportional_memory(ipc::System& system,
                                                const std::vector<pid_t>& pids);

/// Pids of the whole tree below `pid`, itself included, and of `strays` (what `describe` shows as
/// children).
std::vector<pid_t> live_tree(ipc::System& system, pid_t pid, const std::vector<pid_t>& strays = {});

} // namespace cluster::supervisor
