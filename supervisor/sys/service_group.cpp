#include "supervisor/sys/service_group.hpp"

#include "ipc/base/text.hpp"

#include <fcntl.h>

#include <algorithm>

namespace cluster::supervisor {

std::optional<std::string> group_of_service(std::string_view cgroups)
{
    constexpr std::string_view kV2 = "0::";
    constexpr std::string_view kControl = "/.control"; // where systemd puts such commands
    while (!cgroups.empty()) {
        const auto end = std::min(cgroups.find('\n'), cgroups.size());
        std::string_view line = cgroups.substr(0, end);
        cgroups.remove_prefix(std::min(end + 1, cgroups.size()));
        if (!line.starts_with(kV2)) continue;
        line.remove_prefix(kV2.size());
        if (!line.ends_with(kControl)) return std::nullopt;
        line.remove_suffix(kControl.size());
        return std::string{line};
    }
    return std::nullopt;
}

std::string switched_off(std::string_view controllers)
{
    std::string text;
    for (auto word = ipc::next_word(controllers); !word.empty(); word = ipc::next_word(controllers))
        text += (text.empty() ? "-" : " -") + std::string{word};
    return text;
}

ipc::Result<void> free_group_of_service(ipc::System& system)
{
    const auto cgroups = system.read_file("/proc/self/cgroup");
    const auto group = cgroups ? group_of_service(*cgroups) : std::nullopt;
    if (!group) return {};
    // Alone, or beside hierarchies of v1.
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        const std::string path = mount + *group + "/cgroup.subtree_control";
        const auto controllers = system.read_file(path);
        const std::string text = controllers ? switched_off(*controllers) : "";
        if (text.empty()) continue;
        const auto file = system.open(path, O_WRONLY);
        if (!file) return std::unexpected(file.error());
        if (auto done = system.write(file->get(), text.data(), text.size()); !done)
            return ipc::fail(done.error().code, "write " + path);
    }
    return {};
}

} // namespace cluster::supervisor
