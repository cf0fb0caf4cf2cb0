// Control, the list that users save themselves (save, cleardump, resurrect) in
// $CLUSTER_HOME/dump.json, and a daemon that is to begin with nothing. What runs is durable without
// any of it: state.json.
#include "supervisor/daemon/control.hpp"
#include "supervisor/daemon/render.hpp"
#include "supervisor/sys/take_back.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

/// A state with nothing in it.
std::string empty_state()
{
    return ipc::dump(json{{"version", kStateVersion},
                          {"readable_by", kStateReadableBy},
                          {"environments", json::array()},
                          {"apps", json::array()},
                          {"workers", json::array()}}) +
           "\n";
}

WaitFailure not_declared(const SavedWorker& row, const std::string& name, std::string reason)
{
    return {.id = row.known.record.id,
            .name = name,
            .stage = "launch",
            .reason = std::move(reason),
            .status = {},
            .errors = {}};
}

} // namespace

/// Answers when the file is there. One that cannot be read never becomes the `.bak`.
void Control::save_dump(const SessionPtr& session, const ipc::Request& request, std::string text,
                        json answer)
{
    (void)dump_.load();
    dump_.save(std::move(text), [this, weak = std::weak_ptr{session}, request,
                                 answer = std::move(answer)] {
        const auto to = weak.lock();
        if (!to) return;
        if (dump_.fault().empty()) return to->respond(request, answer);
        to->respond(request, RpcError{.code = ipc::kFailed,
                                      .message = dump_.fault() + "; it is tried again each second",
                                      .data = nullptr});
    });
}

Control::Outcome Control::save_list(const SessionPtr& session, const ipc::Request& request)
{
    const json force = request.params.value("force", json(false));
    if (!force.is_boolean()) return ipc::invalid_param("/force", "true or false", force);
    const std::size_t count = supervisor_.workers().size();
    json answer = {{"saved", true}, {"path", dump_.path()}, {"processes", count}};
    if (count == 0 && force == false) {
        answer["saved"] = false;
        session->respond(request, answer);
        return {};
    }
    EnvironmentNumbers numbers;
    save_dump(session, request, state_text(supervisor_, {}, numbers), std::move(answer));
    return {};
}

Control::Outcome Control::clear_dump(const SessionPtr& session, const ipc::Request& request)
{
    save_dump(session, request, empty_state(), {{"path", dump_.path()}});
    return {};
}

/// What was saved; else what ran when the daemon was told to `kill`.
std::optional<std::pair<std::string, SavedState>> Control::find_dump()
{
    if (auto saved = dump_.load()) return std::pair{dump_.path(), std::move(*saved)};
    const std::string last = store_.path() + kLastSuffix;
    const auto text = supervisor_.system().read_file(last);
    if (!text) return std::nullopt;
    auto state = parse_state(*text);
    if (state) return std::pair{last, std::move(*state)};
    log_.error(fmt::format("{} cannot be used: {}", last, state.error()));
    return std::nullopt;
}

/// Adds the rows whose names nobody has; which of them shall run, and what could not be added.
Control::Revived Control::revive(const SavedState& saved)
{
    std::set<std::string> taken;
    for (const auto& [id, worker] : supervisor_.workers())
        taken.insert(worker->spec().name);
    std::map<std::uint64_t, ipc::Result<AppPtr>> apps;
    Revived revived;
    for (const auto& [key, row] : saved.workers) {
        const auto app = saved.apps.find(row.app);
        if (row.known.hidden || app == saved.apps.end()) continue;
        const std::string& name = app->second.spec.name;
        if (taken.contains(name)) continue;
        auto declared = apps.find(row.app);
        if (declared == apps.end()) {
            const auto inherited = intern(*saved.environments.at(app->second.environment));
            declared =
                apps.emplace(row.app, supervisor_.declare(app->second.spec, inherited)).first;
        }
        if (!declared->second) {
            revived.failures.push_back(not_declared(row, name, declared->second.error().text()));
            continue;
        }
        const WorkerRecord& record = row.known.record;
        const int id = supervisor_.find(record.id) ? -1 : record.id;
        const Worker& worker = supervisor_.add(*declared->second, record.instance, id);
        revived.ids.push_back(worker.id);
        if (row.wanted) revived.wanted.push_back(worker.id);
    }
    return revived;
}

Control::Outcome Control::resurrect(const SessionPtr& session, const ipc::Request& request)
{
    const auto found = find_dump();
    if (!found) {
        session->respond(request, json{{"source", nullptr}, {"processes", json::array()}});
        return {};
    }
    session->notify(ipc::notification_frame(
        "notice",
        {{"request", request.id}, {"text", "Restoring processes located in " + found->first}}));
    Revived revived = revive(found->second);
    const std::string cause =
        fmt::format("resurrect asked by {} (uid {})", session->client(), session->uid());
    std::weak_ptr<ipc::Session> weak = session;
    Waiting::Wait& wait =
        waiting_.prepare([this, weak, id = request.id](
                             const WaitProgress& progress) { send_progress(weak, id, progress); },
                         [this, weak, request, source = found->first, ids = revived.ids,
                          failures = std::move(revived.failures)](WaitResult result) {
                             std::ranges::copy(failures, std::back_inserter(result.failures));
                             result.ids = ids;
                             when_saved([this, weak, request, source, result] {
                                 if (const auto to = weak.lock())
                                     answer_resurrect(to, request, source, result);
                             });
                         });
    for (const int id : revived.wanted) {
        Worker& worker = *supervisor_.find(id);
        waiting_.add(wait, worker, Goal::up);
        ordering_.start(worker, Event::start_asked, cause);
    }
    changed();
    waiting_.begin(wait);
    return {};
}

void Control::answer_resurrect(const SessionPtr& session, const ipc::Request& request,
                               const std::string& source, const WaitResult& result)
{
    if (!result.failures.empty()) return answer(session, request, result);
    json rows = json::parse(processes_text(supervisor_, result.ids), nullptr, false);
    session->respond(request, json{{"source", source}, {"processes", rows["processes"]}});
}

/// `--no-autorestore`: what ran before is ended and not brought back, and what was wanted can be
/// had back by `resurrect`.
void Control::begin_empty()
{
    ipc::System& system = supervisor_.system();
    const auto marked = find_marked(system, supervisor_.home(), {::getpid(), ::getppid()});
    end_strangers({}, marked, {});
    const std::string& path = store_.path();
    if (const auto state = store_.load(); state && !state->workers.empty()) {
        log_.info("nothing is brought back, as was asked: see `clusterctl resurrect`");
        const std::string last = path + kLastSuffix;
        // What cannot be read was moved aside by `load`.
        if (!system.rename(path, last)) (void)system.rename(path + ".bak", last);
    }
    (void)system.unlink(path + ".bak");
    journal_.begin();
}

} // namespace cluster::supervisor
