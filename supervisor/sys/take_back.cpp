#include "supervisor/sys/take_back.hpp"

#include "supervisor/sys/keeper.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::chrono::milliseconds kPause{1};
constexpr int kRounds = 1000;

/// The value of a variable in a block of "NAME=value" strings that end with a zero byte.
std::optional<std::string_view> variable(std::string_view block, std::string_view name)
{
    while (!block.empty()) {
        const auto end = std::min(block.find('\0'), block.size());
        const std::string_view entry = block.substr(0, end);
        if (entry.starts_with(name) && entry.substr(name.size()).starts_with('='))
            return entry.substr(name.size() + 1);
        block.remove_prefix(std::min(end + 1, block.size()));
    }
    return std::nullopt;
}

/// A child between clone and exec looks like the manager that made it.
bool on_its_way(ipc::System& system, pid_t pid, const std::string& home)
{
    const auto line = system.read_file(fmt::format("/proc/{}/cmdline", pid));
    return line && line->contains(std::string{"--manager\0--home\0", 17} + home + '\0');
}

/// Once it is neither before its exec nor in it; "" when it may not be read.
std::string settled_environment(ipc::System& system, pid_t pid, const std::string& home)
{
    const std::string path = fmt::format("/proc/{}/environ", pid);
    for (int round = 0; round < kRounds; ++round) {
        if (!on_its_way(system, pid, home)) {
            const auto block = system.read_file(path);
            // One that may not be read is nobody of ours, or a thread of the kernel.
            if (!block) return {};
            if (!block->empty() || !is_in_exec(system, pid)) return *block;
        }
        std::this_thread::sleep_for(kPause);
    }
    return {};
}

} // namespace

std::vector<ipc::UniqueFd> take_back(ipc::System& system, pid_t pid, std::set<std::uint64_t> inodes)
{
    std::vector<ipc::UniqueFd> taken;
    const std::string folder = fmt::format("/proc/{}/fd", pid);
    const auto names = system.list_directory(folder);
    if (!names) return taken;
    for (const std::string& name : *names) {
        if (inodes.empty()) break;
        const std::string path = folder + "/" + name;
        const auto target = system.readlink(path);
        const auto inode = target ? inode_in(*target) : std::nullopt;
        if (!inode || !inodes.contains(*inode)) continue;
        ipc::UniqueFd fd;
        if (target->starts_with("pipe")) {
            if (auto opened = system.open(path, O_RDWR | O_NONBLOCK)) fd = std::move(*opened);
        } else if (const auto process = system.pidfd_open(pid)) {
            // Close-on-exec from birth.
            fd.reset(static_cast<int>(
                ::syscall(SYS_pidfd_getfd, process->get(), std::atoi(name.c_str()), 0)));
        }
        if (!fd) continue;
        inodes.erase(*inode);
        taken.push_back(std::move(fd));
    }
    return taken;
}

std::vector<MarkedProcess> find_marked(ipc::System& system, const std::string& home,
                                       const std::vector<pid_t>& spared)
{
    std::vector<MarkedProcess> found;
    for (const ProcessStat& process : read_process_table(system)) {
        if (is_dead(process) || std::ranges::count(spared, process.pid) > 0) continue;
        const std::string block = settled_environment(system, process.pid, home);
        if (variable(block, "CLUSTER_HOME") != home) continue;
        const auto mark = variable(block, "unique_id");
        // Again: it may have got its own session meanwhile.
        const auto now = mark ? read_stat(system, process.pid) : ipc::fail(ESRCH, "");
        if (now && now->start_time == process.start_time)
            found.push_back({.stat = *now, .unique_id = std::string{*mark}});
    }
    return found;
}

void end_marked(ipc::System& system, const std::vector<MarkedProcess>& processes)
{
    for (int round = 0; round < kRounds; ++round) {
        bool any = false;
        for (const MarkedProcess& process : processes) {
            if (!lives(system, process.stat.pid, process.stat.start_time)) continue;
            any = true;
            (void)system.kill(process.stat.pid, SIGKILL);
        }
        if (!any) return;
        std::this_thread::sleep_for(kPause);
    }
}

} // namespace cluster::supervisor
