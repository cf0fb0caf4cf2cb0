#include "supervisor/sys/host.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/cgroup_mounts.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Set by the linker.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace cluster::supervisor {
namespace {

/// The number on the first line of a small file.
std::optional<double> number_in(ipc::System& system, const std::string& path)
{
    const std::string text = system.read_file(path).value_or("");
    return ipc::parse_number<double>(std::string_view{text}.substr(0, text.find('\n')));
}

/// CPUs that the quota of one group allows; empty without a quota.
std::optional<double> quota_of(ipc::System& system, const std::string& folder, bool v2)
{
    std::optional<double> quota;
    std::optional<double> period;
    if (v2) { // "max 100000" or "150000 100000"
        const std::string text = system.read_file(folder + "/cpu.max").value_or("");
        std::string_view rest = text;
        quota = ipc::parse_number<double>(ipc::next_word(rest));
        period = ipc::parse_number<double>(ipc::next_word(rest));
    } else {
        quota = number_in(system, folder + "/cpu.cfs_quota_us"); // -1: none
        period = number_in(system, folder + "/cpu.cfs_period_us");
    }
    if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
    return *quota / *period;
}

/// The tightest quota from this process's group up to the root of the hierarchy.
std::optional<double> tightest_quota(ipc::System& system, std::string_view mountinfo,
                                     std::string_view cgroups, bool v2)
{
    auto own = own_group(mountinfo, cgroups, v2 ? "" : "cpu");
    if (!own) return std::nullopt;
    std::optional<double> tightest;
    while (true) {
        const auto quota = quota_of(system, own->folder(), v2);
        if (quota) tightest = std::min(tightest.value_or(*quota), *quota);
        if (own->path.empty()) return tightest;
        const std::size_t slash = own->path.rfind('/');
        own->path.resize(slash == std::string::npos ? 0 : slash);
    }
}

} // namespace

int usable_cpus(ipc::System& system)
{
    double cpus = system.sched_getaffinity().value_or(1);
    const std::string mountinfo = system.read_file("/proc/self/mountinfo").value_or("");
    const std::string cgroups = system.read_file("/proc/self/cgroup").value_or("");
    for (const bool v2 : {true, false})
        if (const auto quota = tightest_quota(system, mountinfo, cgroups, v2))
            cpus = std::min(cpus, std::ceil(*quota));
    return std::max(1, static_cast<int>(cpus));
}

unsigned long raise_open_file_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    return limit.rlim_cur;
}

std::uint64_t disk_bytes(const std::string& folder)
{
    struct statvfs about{};
    if (::statvfs(folder.c_str(), &about) < 0) return 0;
    return std::uint64_t{about.f_blocks} * about.f_frsize;
}

void release_idle_memory()
{
    ::malloc_trim(0);
    // Read-only data and code up to `etext` (man 3 end) are a private mapping that nobody writes
    // to, so dropping it loses nothing. Relocated data lies behind.
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start) & ~(page - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(&etext) & ~(page - 1);
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::vector<std::string> own_environment()
{
    std::vector<std::string> environment;
    for (char** entry = environ; *entry; ++entry)
        environment.emplace_back(*entry);
    return environment;
}

std::uint64_t monotonic_ms()
{
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

} // namespace cluster::supervisor
