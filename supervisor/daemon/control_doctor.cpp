// Control, doctor: the daemon looks at itself.
#include "ipc/base/version.hpp"
#include "supervisor/daemon/control.hpp"
#include "supervisor/daemon/doctor.hpp"
#include "supervisor/sys/take_back.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;

std::vector<LogPath> log_paths(const Supervisor& supervisor)
{
    std::vector<LogPath> logs;
    for (const Worker* worker : supervisor.rows())
        for (const std::string& path : {worker->out_path, worker->err_path})
            logs.push_back({.app = worker->spec().name, .path = path, .in_use = worker->alive()});
    return logs;
}

/// What the command needs to judge the limits of this machine.
json facts_of(const Supervisor& supervisor, const std::vector<LogPath>& logs)
{
    json backlogs = json::array();
    for (const auto& listener : supervisor.listeners())
        if (const auto& backlog = listener->address().backlog)
            backlogs.push_back({{"address", listener->address().text}, {"backlog", *backlog}});
    std::set<std::string> folders;
    for (const LogPath& log : logs)
        if (log.path != "/dev/null" && !log.path.empty())
            folders.insert(std::filesystem::path{log.path}.parent_path().string());
    const auto rows = supervisor.rows();
    return {{"pid", ::getpid()},
            {"guardian_pid", ::getppid()},
            {"version", ipc::version()},
            {"at", supervisor.clock().wall_ms()},
            {"workers", std::ranges::count_if(rows, &Worker::alive)},
            {"listeners", supervisor.listeners().size()},
            {"backlogs", std::move(backlogs)},
            {"folders", folders}};
}

json findings_json(const Findings& findings)
{
    json list = json::array();
    for (const Finding& finding : findings)
        list.push_back({{"verdict", name_of(finding.grade)},
                        {"check", finding.check},
                        {"what", finding.what},
                        {"where", finding.where},
                        {"advice", finding.advice}});
    return list;
}

} // namespace

/// Looks once what is being written stands on disk: it is to be that of now.
Control::Outcome Control::doctor(const SessionPtr& session, const ipc::Request& request)
{
    when_saved([this, weak = std::weak_ptr{session}, request] {
        const auto to = weak.lock();
        if (!to) return;
        EnvironmentNumbers numbers;
        const auto now = parse_state(state_text(supervisor_, under_way(), numbers));
        if (!now)
            return to->respond(request,
                               ipc::RpcError{.code = ipc::kInternalError,
                                             .message = "the state cannot be told: " + now.error(),
                                             .data = nullptr});
        ipc::System& system = supervisor_.system();
        const auto marked = find_marked(system, supervisor_.home(), {::getpid(), ::getppid()});
        const std::vector<LogPath> logs = log_paths(supervisor_);
        Findings findings;
        check_processes(system, *now, findings);
        check_strays(*now, marked, findings);
        check_doubles(system, *now, marked, findings);
        check_guardian(system, *now, ::getppid(), findings);
        check_state(system, *now, store_.path(), store_.fault(), findings);
        check_sockets(system, *now, findings);
        check_settings(settings_.faults(), settings_.path(), settings_.now().metrics,
                       metrics_.fault(), findings);
        check_logs(system, logs, findings);
        to->respond(request, json{{"findings", findings_json(findings)},
                                  {"daemon", facts_of(supervisor_, logs)}});
    });
    return {};
}

} // namespace cluster::supervisor
