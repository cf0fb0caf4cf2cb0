// Control, the methods about the files of the logs.
#include "supervisor/daemon/control.hpp"

#include <algorithm>
#include <utility>

namespace cluster::supervisor {

using ipc::json;
using ipc::RpcError;

/// Of those that are meant; of all apps, and the daemon's own, where nobody is named.
ipc::RpcResult<std::vector<std::string>> Control::log_paths_of(const json& params) const
{
    std::vector<std::string> paths;
    if (params.contains("targets")) {
        const auto ids = targets_of(params);
        if (!ids) return std::unexpected(ids.error());
        for (const int id : *ids)
            std::ranges::copy(Supervisor::log_paths(*supervisor_.find(id)),
                              std::back_inserter(paths));
    } else {
        for (const LogFile& file : supervisor_.log_files())
            paths.push_back(file.path);
        paths.push_back(ipc::HomePaths{supervisor_.home()}.log);
    }
    std::ranges::sort(paths);
    paths.erase(std::ranges::unique(paths).begin(), paths.end());
    return paths;
}

Control::Outcome Control::flush_logs(const SessionPtr& session, const ipc::Request& request)
{
    const json rotated = request.params.value("rotated", json(false));
    if (!rotated.is_boolean()) return ipc::invalid_param("/rotated", "true or false", rotated);
    const auto paths = log_paths_of(request.params);
    if (!paths) return std::unexpected(paths.error());
    json files = json::array();
    json failures = json::array();
    for (const std::string& path : *paths) {
        const auto bytes = supervisor_.logs().flush(path);
        if (!bytes) failures.push_back({{"path", path}, {"reason", bytes.error().text()}});
        if (!bytes || !*bytes) continue;
        json file{{"path", path}, {"bytes", **bytes}};
        if (rotated == true) file["rotated"] = supervisor_.rotation().remove_rotated(path);
        files.push_back(std::move(file));
    }
    session->respond(request, json{{"files", std::move(files)}, {"failures", std::move(failures)}});
    return {};
}

Control::Outcome Control::reopen_logs(const SessionPtr& session, const ipc::Request& request)
{
    session->respond(request, json{{"files", supervisor_.logs().reopen_all()}});
    return {};
}

} // namespace cluster::supervisor
