#include "supervisor/sys/leftovers.hpp"

#include "supervisor/sys/process_table.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string_view>
#include <thread>

namespace cluster::supervisor {
namespace {

constexpr std::string_view kVariable = "unique_id=";
constexpr std::chrono::milliseconds kPause{1}; ///< SIGKILL takes a moment
constexpr int kRounds = 1000;

/// The value of `unique_id` in a block of "NAME=value" strings that end with a zero byte.
std::string unique_id_in(std::string_view block)
{
    while (!block.empty()) {
        const auto end = std::min(block.find('\0'), block.size());
        const std::string_view variable = block.substr(0, end);
        if (variable.starts_with(kVariable)) return std::string{variable.substr(kVariable.size())};
        block.remove_prefix(std::min(end + 1, block.size()));
    }
    return {};
}

bool is_alive(const ProcessStat& process)
{
    return process.state != 'X' && (process.state != 'Z' || process.threads > 1);
}

} // namespace

std::vector<pid_t> find_leftovers(ipc::System& system, const std::set<std::string>& unique_ids,
                                  const std::set<pid_t>& spared)
{
    std::vector<ProcessStat> rest = read_process_table(system);
    std::erase_if(rest, [&](const ProcessStat& process) {
        return !is_alive(process) || spared.contains(process.pid);
    });
    std::set<pid_t> found;
    const auto take = [&](const auto& belongs) {
        const std::size_t before = found.size();
        for (const ProcessStat& process : rest)
            if (!found.contains(process.pid) && belongs(process)) found.insert(process.pid);
        return found.size() > before;
    };
    take([&](const ProcessStat& process) {
        const auto block = system.read_file("/proc/" + std::to_string(process.pid) + "/environ");
        return block && unique_ids.contains(unique_id_in(*block));
    });
    // Another turn after each that found somebody: children may stand before their parents.
    while (take([&](const ProcessStat& process) {
        return found.contains(process.parent) || found.contains(process.session);
    })) {
    }
    return {found.begin(), found.end()};
}

std::size_t kill_leftovers(ipc::System& system, const std::set<std::string>& unique_ids,
                           const std::set<pid_t>& spared)
{
    if (unique_ids.empty()) return 0;
    std::size_t at_first = 0;
    for (int round = 0; round < kRounds; ++round) {
        const std::vector<pid_t> left = find_leftovers(system, unique_ids, spared);
        if (round == 0) at_first = left.size();
        if (left.empty()) break;
        for (const pid_t pid : left)
            (void)system.kill(pid, SIGKILL); // it may have ended meanwhile
        std::this_thread::sleep_for(kPause);
    }
    return at_first;
}

} // namespace cluster::supervisor
