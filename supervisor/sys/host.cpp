#include "supervisor/sys/host.hpp"

#include "ipc/base/text.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

std::vector<std::string_view> split(std::string_view text, std::string_view separators)
{
    std::vector<std::string_view> parts;
    for (auto part = ipc::next_word(text, separators); !part.empty();
         part = ipc::next_word(text, separators))
        parts.push_back(part);
    return parts;
}

bool lists(std::string_view comma_list, std::string_view word)
{
    const auto words = split(comma_list, ",");
    return std::ranges::find(words, word) != words.end();
}

/// The number on the first line of a small file.
std::optional<double> number_in(ipc::System& system, const std::string& path)
{
    const std::string text = system.read_file(path).value_or("");
    return ipc::parse_number<double>(std::string_view{text}.substr(0, text.find('\n')));
}

/// One hierarchy in which this process has a cgroup: where it is mounted, and which of its groups
/// the mount shows as its root (a container sees its own group there).
struct Mount {
    std::string point;
    std::string root;
};

/// man 5 proc, mountinfo: id parent major:minor root point options… - type source super_options.
std::optional<Mount> find_mount(std::string_view mountinfo, bool v2)
{
    for (const std::string_view line : split(mountinfo, "\n")) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string_view::npos) continue;
        const auto front = split(line.substr(0, dash), " ");
        const auto back = split(line.substr(dash + 3), " ");
        if (front.size() < 5 || back.size() < 3) continue;
        const bool wanted =
            v2 ? back[0] == "cgroup2" : back[0] == "cgroup" && lists(back[2], "cpu");
        if (wanted) return Mount{std::string{front[4]}, std::string{front[3]}};
    }
    return std::nullopt;
}

/// man 7 cgroups, /proc/self/cgroup: id:controllers:path; v2 has id 0 and no controllers.
std::optional<std::string> find_path(std::string_view cgroups, bool v2)
{
    for (const std::string_view line : split(cgroups, "\n")) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        if (v2 ? line.starts_with("0::") : lists(controllers, "cpu"))
            return std::string{line.substr(second + 1)};
    }
    return std::nullopt;
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

/// `path` as the mount shows it, "" for its root and for what it does not show.
std::string below(const std::string& mount_root, const std::string& path)
{
    const std::string prefix = mount_root == "/" ? "" : mount_root;
    if (path == "/" || !path.starts_with(prefix + "/")) return "";
    return path.substr(prefix.size());
}

/// The tightest quota from this process's group up to the root of the hierarchy.
std::optional<double> tightest_quota(ipc::System& system, std::string_view mountinfo,
                                     std::string_view cgroups, bool v2)
{
    const auto mount = find_mount(mountinfo, v2);
    auto path = find_path(cgroups, v2);
    if (!mount || !path) return std::nullopt;
    *path = below(mount->root, *path);

    std::optional<double> tightest;
    while (true) {
        const auto quota = quota_of(system, mount->point + *path, v2);
        if (quota) tightest = std::min(tightest.value_or(*quota), *quota);
        if (path->empty()) return tightest;
        const std::size_t slash = path->rfind('/');
        path->resize(slash == std::string::npos ? 0 : slash);
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
