#include "supervisor/sys/service_group.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/cgroup_mounts.hpp"

#include <fcntl.h>

namespace cluster::supervisor {

std::string switched_off(std::string_view controllers)
{
    std::string text;
    for (auto word = ipc::next_word(controllers); !word.empty(); word = ipc::next_word(controllers))
        text += (text.empty() ? "-" : " -") + std::string{word};
    return text;
}

ipc::Result<void> free_group_of_service(ipc::System& system)
{
    constexpr std::string_view kControl = "/.control"; // where systemd puts such commands
    const auto own = own_group(system, "");
    if (!own || !own->path.ends_with(kControl)) return {};
    std::string path = own->folder();
    path.resize(path.size() - kControl.size());
    path += "/cgroup.subtree_control";
    const auto controllers = system.read_file(path);
    const std::string text = controllers ? switched_off(*controllers) : "";
    if (text.empty()) return {};
    const auto file = system.open(path, O_WRONLY);
    if (!file) return std::unexpected(file.error());
    if (auto done = system.write(file->get(), text.data(), text.size()); !done)
        return ipc::fail(done.error().code, "write " + path);
    return {};
}

} // namespace cluster::supervisor
