#include "supervisor/sys/sampler.hpp"

#include "ipc/base/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace cluster::supervisor {
namespace {

double ticks_per_second()
{
    static const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    return ticks;
}

void add_below(ipc::System& system, std::vector<ProcessStat>& tree, std::size_t from)
{
    for (std::size_t i = from; i < tree.size(); ++i) {
        const pid_t parent = tree[i].pid;
        for (const pid_t child : children_of(system, parent, tree[i].threads)) {
            const auto stat = read_stat(system, child);
            // Between the two reads the child may have gone and its number may be a stranger's.
            if (stat && stat->parent == parent) tree.push_back(*stat);
        }
    }
}

/// The process and all below it, parents before their children; empty when it has gone.
std::vector<ProcessStat> tree_below(ipc::System& system, pid_t pid)
{
    std::vector<ProcessStat> tree;
    if (const auto root = read_stat(system, pid)) tree.push_back(*root);
    add_below(system, tree, 0);
    return tree;
}

/// The same for those that are not below it, and all below them.
void add_strays(ipc::System& system, std::vector<ProcessStat>& tree,
                const std::vector<pid_t>& strays)
{
    for (const pid_t pid : strays) {
        if (std::ranges::find(tree, pid, &ProcessStat::pid) != tree.end()) continue;
        const auto stat = read_stat(system, pid);
        if (!stat || is_dead(*stat)) continue;
        tree.push_back(*stat);
        add_below(system, tree, tree.size() - 1);
    }
}

/// Seconds since boot, 0 when unreadable.
double uptime_s(ipc::System& system)
{
    std::array<char, 64> buffer;
    const auto size = system.read_small("/proc/uptime", buffer);
    std::string_view text{buffer.data(), size.value_or(0)};
    return ipc::parse_number<double>(ipc::next_word(text)).value_or(0);
}

double percent(double ticks, double seconds)
{
    return seconds > 0 ? ticks / ticks_per_second() / seconds * 100 : 0;
}

} // namespace

Sampler::Sampler(ipc::System& system) : system_{system} {}

Usage Sampler::sample(int worker_id, pid_t pid, std::uint64_t start_time,
                      std::chrono::milliseconds now,
                      const std::function<std::vector<pid_t>()>& strays)
{
    Last& last = last_[worker_id];
    const bool same = last.pid == pid && last.start_time == start_time;
    const auto fresh = std::max(kFresh, kFreshEach * static_cast<int>(last_.size()));
    if (same && now - last.at < fresh) return last.usage;

    auto tree = tree_below(system_, pid);
    if (tree.empty() || tree.front().start_time != start_time) {
        forget(worker_id);
        return {};
    }
    if (strays) add_strays(system_, tree, strays());
    Usage usage;
    for (const ProcessStat& process : tree) {
        usage.memory += process.resident_bytes;
        // A child that has ended is in what its parent has waited for.
        usage.cpu_ticks += process.cpu_ticks + process.waited_ticks;
        usage.tasks += process.threads;
    }
    if (same) {
        // One that nobody has waited for takes its ticks along: then we know no better than what
        // is left.
        const std::uint64_t before = last.usage.cpu_ticks;
        const std::uint64_t used = usage.cpu_ticks > before ? usage.cpu_ticks - before : 0;
        usage.cpu = percent(static_cast<double>(used),
                            std::chrono::duration<double>(now - last.at).count());
    } else {
        const double born_s = static_cast<double>(start_time) / ticks_per_second();
        usage.cpu = percent(static_cast<double>(usage.cpu_ticks), uptime_s(system_) - born_s);
    }
    last = {pid, start_time, now, usage};
    return usage;
}

void Sampler::forget(int worker_id)
{
    last_.erase(worker_id);
}

double cpu_seconds(std::uint64_t ticks)
{
    return static_cast<double>(ticks) / ticks_per_second();
}

std::uint64_t proportional_memory(ipc::System& system, const std::vector<pid_t>& pids)
{
    std::uint64_t bytes = 0;
    for (const pid_t pid : pids) {
        const auto text = system.read_file("/proc/" + std::to_string(pid) + "/smaps_rollup");
        if (!text) continue;
        constexpr std::string_view kLabel = "\nPss:";
        const std::size_t at = text->find(kLabel);
        if (at == std::string::npos) continue;
        std::string_view rest = std::string_view{*text}.substr(at + kLabel.size());
        bytes += ipc::parse_number<std::uint64_t>(ipc::next_word(rest)).value_or(0) * 1024;
    }
    return bytes;
}

std::vector<pid_t> live_tree(ipc::System& system, pid_t pid, const std::vector<pid_t>& strays)
{
    auto tree = tree_below(system, pid);
    add_strays(system, tree, strays);
    std::vector<pid_t> pids;
    for (const ProcessStat& process : tree)
        if (!is_dead(process)) pids.push_back(process.pid);
    return pids;
}

} // namespace cluster::supervisor
