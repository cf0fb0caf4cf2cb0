// Writes the /proc of a made-up machine into a ScriptedSystem.
#pragma once

#include "tests/support/scripted_system.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace cluster::tests {

/// One process; what is left out is ordinary.
struct FakeProcess {
    pid_t pid = 0;
    pid_t parent = 1;
    pid_t group = 0;   ///< 0: its own pid
    pid_t session = 0; ///< 0: its own pid
    std::uint64_t start_time = 1000;
    char state = 'S';
    int threads = 1;
    std::uint64_t user_ticks = 0;
    std::uint64_t kernel_ticks = 0;
    std::uint64_t pages = 0;
    std::string name = "app";
    bool in_exec = false;           ///< between two programs
    bool of_the_kernel = false;     ///< a thread of it
    int wait_status = 0;            ///< of a zombie
    std::uint64_t waited_ticks = 0; ///< of children that it has waited for
};

inline std::string stat_text(const FakeProcess& p)
{
    return fmt::format(
        "{} ({}) {} {} {} {} 0 -1 {} 1 2 3 4 {} {} {} 0 20 0 {} 0 {} 99999 {} "
        "18446744073709551615 1 1 0 0 0 0 0 4096 81922 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 {} "
        "{} {}\n",
        p.pid, p.name, p.state, p.parent, p.group ? p.group : p.pid, p.session ? p.session : p.pid,
        p.of_the_kernel ? 2129984 : 4194560, p.user_ticks, p.kernel_ticks, p.waited_ticks,
        p.threads, p.start_time, p.pages, p.in_exec || p.of_the_kernel ? 0 : 4000,
        p.in_exec || p.of_the_kernel ? 0 : 5000, p.wait_status);
}

/// Adds the process, an empty list of children, and itself to its parent's list.
inline void add_process(ScriptedSystem& system, const FakeProcess& p)
{
    const auto children = [](pid_t pid) { return fmt::format("/proc/{0}/task/{0}/children", pid); };
    system.files[fmt::format("/proc/{}/stat", p.pid)] = stat_text(p);
    system.files.try_emplace(children(p.pid));
    system.files[children(p.parent)] += fmt::format("{} ", p.pid);
}

inline void set_environment(ScriptedSystem& system, pid_t pid, std::string block)
{
    system.files[fmt::format("/proc/{}/environ", pid)] = std::move(block);
}

inline void remove_process(ScriptedSystem& system, pid_t pid)
{
    const std::string prefix = fmt::format("/proc/{}/", pid);
    std::erase_if(system.files, [&](const auto& file) { return file.first.starts_with(prefix); });
}

} // namespace cluster::tests
