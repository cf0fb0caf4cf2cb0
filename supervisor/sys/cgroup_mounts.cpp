#include "supervisor/sys/cgroup_mounts.hpp"

#include "ipc/base/text.hpp"

#include <algorithm>
#include <vector>

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

/// A hierarchy: where it is mounted, and which of its groups the mount shows as its root (a
/// container sees its own group there).
struct Mount {
    std::string point;
    std::string root;
};

/// man 5 proc, mountinfo: id parent major:minor root point options… - type source super_options.
std::optional<Mount> find_mount(std::string_view mountinfo, std::string_view controller)
{
    for (const std::string_view line : split(mountinfo, "\n")) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string_view::npos) continue;
        const auto front = split(line.substr(0, dash), " ");
        const auto back = split(line.substr(dash + 3), " ");
        if (front.size() < 5 || back.size() < 3) continue;
        const bool wanted = controller.empty() ? back[0] == "cgroup2"
                                               : back[0] == "cgroup" && lists(back[2], controller);
        if (wanted) return Mount{std::string{front[4]}, std::string{front[3]}};
    }
    return std::nullopt;
}

/// man 7 cgroups, /proc/self/cgroup: id:controllers:path; v2 has id 0 and no controllers.
std::optional<std::string> find_path(std::string_view cgroups, std::string_view controller)
{
    for (const std::string_view line : split(cgroups, "\n")) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        if (controller.empty() ? line.starts_with("0::") : lists(controllers, controller))
            return std::string{line.substr(second + 1)};
    }
    return std::nullopt;
}

/// `path` as the mount shows it, "" for its root and for what it does not show.
std::string below(const std::string& mount_root, const std::string& path)
{
    const std::string prefix = mount_root == "/" ? "" : mount_root;
    if (path == "/" || !path.starts_with(prefix + "/")) return "";
    return path.substr(prefix.size());
}

} // namespace

bool lists(std::string_view list, std::string_view word)
{
    const auto words = split(list, ",+ \n");
    return std::ranges::find(words, word) != words.end();
}

std::optional<OwnGroup> own_group(std::string_view mountinfo, std::string_view cgroups,
                                  std::string_view controller)
{
    const auto mount = find_mount(mountinfo, controller);
    const auto path = find_path(cgroups, controller);
    if (!mount || !path) return std::nullopt;
    return OwnGroup{.mount = mount->point, .path = below(mount->root, *path)};
}

std::optional<OwnGroup> own_group(ipc::System& system, std::string_view controller)
{
    const std::string mountinfo = system.read_file("/proc/self/mountinfo").value_or("");
    const std::string cgroups = system.read_file("/proc/self/cgroup").value_or("");
    return own_group(mountinfo, cgroups, controller);
}

} // namespace cluster::supervisor
