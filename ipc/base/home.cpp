#include "ipc/base/home.hpp"

#include <sys/un.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace cluster::ipc {

std::string cluster_home()
{
    const auto from = [](const char* variable) -> std::string {
        const char* value = std::getenv(variable);
        return value ? value : "";
    };
    std::string home = from("CLUSTER_HOME");
    if (home.empty())
        home = from("HOME").empty() ? "/etc/.clusterctl" : from("HOME") + "/.clusterctl";
    std::error_code ignored;
    std::string absolute = std::filesystem::absolute(home, ignored).lexically_normal().string();
    while (absolute.size() > 1 && absolute.back() == '/')
        absolute.pop_back();
    return absolute;
}

HomePaths::HomePaths(std::string at)
    : home{std::move(at)}, socket{home + "/clusterd.sock"}, lock{home + "/clusterd.lock"},
      pid{home + "/clusterd.pid"}, log{home + "/clusterd.log"}, state{home + "/state.json"},
      settings{home + "/settings.json"}, journal{home + "/journal"}, logs{home + "/logs"},
      pids{home + "/pids"}
{
}

Result<void> check_socket_path(const std::string& path)
{
    if (path.size() < sizeof(sockaddr_un{}.sun_path)) return {};
    return fail(ENAMETOOLONG, "socket path " + path + " has " + std::to_string(path.size()) +
                                  " bytes, at most 107 are allowed: choose a shorter CLUSTER_HOME");
}

} // namespace cluster::ipc
