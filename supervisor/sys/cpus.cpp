#include "supervisor/sys/cpus.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kBits = 8 * sizeof(unsigned long);
constexpr std::size_t kWords = 128; ///< 8192 CPUs, the kernel's most

std::vector<std::size_t> our_cpus()
{
    CpuMask mask(kWords);
    const long bytes =
        ::syscall(SYS_sched_getaffinity, 0, mask.size() * sizeof mask.front(), mask.data());
    std::vector<std::size_t> cpus;
    for (std::size_t cpu = 0; bytes > 0 && cpu < mask.size() * kBits; ++cpu)
        if ((mask[cpu / kBits] >> cpu % kBits & 1U) != 0) cpus.push_back(cpu);
    return cpus;
}

} // namespace

CpuMask some_cpus(std::size_t count, std::size_t from)
{
    const std::vector<std::size_t> ours = our_cpus();
    if (ours.empty()) return {};
    CpuMask mask(kWords);
    for (std::size_t i = 0; i < std::min(count, ours.size()); ++i) {
        const std::size_t cpu = ours[(from + i) % ours.size()];
        mask[cpu / kBits] |= 1UL << cpu % kBits;
    }
    return mask;
}

void keep_on_cpus(ipc::System& system, const std::vector<pid_t>& pids, const CpuMask& cpus)
{
    if (cpus.empty()) return;
    for (const pid_t pid : pids) {
        const auto threads = system.list_directory(fmt::format("/proc/{}/task", pid));
        if (!threads) continue;
        for (const std::string& name : *threads)
            if (const auto thread = ipc::parse_number<pid_t>(name))
                ::syscall(SYS_sched_setaffinity, *thread, cpus.size() * sizeof cpus.front(),
                          cpus.data());
    }
}

} // namespace cluster::supervisor
