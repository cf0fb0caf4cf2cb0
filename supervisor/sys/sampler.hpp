// CPU and memory of worker trees, sampled only while somebody looks or a limit is set. One sampler
// for all, so that every figure is the difference of two of its own samples.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/sys/process_table.hpp"

#include <chrono>
#include <cstdint>
#include <unordered_map>

namespace cluster::supervisor {

struct Usage {
    std::uint64_t memory = 0; ///< bytes resident, whole tree
    double cpu = 0;           ///< percent of one CPU, whole tree, between the last two samples
};

class Sampler {
public:
    explicit Sampler(ipc::System& system);

    /// Samples the tree below `pid` (by parent pid, through children_of: no pass over /proc).
    /// Within `kFresh` of the last sample of that worker the last figures come back. The first
    /// sample's cpu is the average over the life of the tree's processes.
    Usage sample(int worker_id, pid_t pid, std::uint64_t start_time, std::chrono::milliseconds now);
    void forget(int worker_id);

    static constexpr std::chrono::milliseconds kFresh{250};

private:
    struct Last {
        pid_t pid = 0;
        std::uint64_t start_time = 0;
        std::chrono::milliseconds at{0};
        std::uint64_t cpu_ticks = 0;
        Usage usage;
    };
    ipc::System& system_;
    std::unordered_map<int, Last> last_;
};

/// Pids of the whole tree below `pid`, itself included (what `describe` shows as children).
std::vector<pid_t> live_tree(ipc::System& system, pid_t pid);

} // namespace cluster::supervisor
