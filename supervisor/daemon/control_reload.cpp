// Control, reload: which apps, made from what, and one answer for all of them.
#include "supervisor/daemon/control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

} // namespace

/// Several apps are reloaded side by side; the last one to be through gives the answer.
struct Control::Joint {
    int open = 1; ///< parts under way, and one for the request that is still adding parts
    WaitResult result;
    int replaced = 0; ///< instances, for the progress
    int total = 0;
    std::function<void(const WaitResult&)> answer;
    std::function<void(const WaitProgress&)> progress;
};

void Control::part_done(const std::shared_ptr<Joint>& joint, WaitResult part)
{
    std::ranges::move(part.failures, std::back_inserter(joint->result.failures));
    if (--joint->open == 0) joint->answer(joint->result);
}

void Control::cancel_reloads(const std::vector<int>& ids, const std::string& cause)
{
    for (const int id : ids) {
        if (const Worker* worker = supervisor_.find(id))
            reloads_.cancel(std::string{worker->spec().name}, cause);
    }
}

ipc::RpcResult<std::vector<Control::ReloadPart>> Control::parts_of(const json& params)
{
    std::vector<ReloadPart> parts;
    if (params.contains("apps")) { // a file again: what it says now
        const auto apps = declare_all(params);
        if (!apps) return std::unexpected(apps.error());
        for (const AppPtr& app : *apps)
            parts.push_back(
                {.name = app->spec.name, .ids = supervisor_.of_app(app->spec.name), .app = app});
        return parts;
    }
    const auto ids = targets_of(params);
    if (!ids) return std::unexpected(ids.error());
    const auto revised = revise_all(*ids, params);
    if (!revised) return std::unexpected(revised.error());
    for (const int id : *ids) {
        const Worker& worker = *supervisor_.find(id);
        const auto found = revised->find(worker.app);
        const AppPtr app = found == revised->end() ? worker.app : found->second;
        auto part = std::ranges::find(parts, worker.spec().name, &ReloadPart::name);
        if (part == parts.end())
            part = parts.insert(part, {.name = worker.spec().name, .ids = {}, .app = app});
        part->ids.push_back(id);
    }
    return parts;
}

Control::Outcome Control::reload(const SessionPtr& session, const ipc::Request& request)
{
    const auto parts = parts_of(request.params);
    if (!parts) return std::unexpected(parts.error());
    for (const ReloadPart& part : *parts) {
        if (!reloads_.running(part.name)) continue;
        return std::unexpected(RpcError{
            .code = ipc::kFailed,
            .message = fmt::format("a reload of {} is under way: wait for it, or stop it with "
                                   "clusterctl restart",
                                   part.name),
            .data = {{"name", part.name}}});
    }
    const std::string cause =
        fmt::format("reload asked by {} (uid {})", session->client(), session->uid());
    auto joint = std::make_shared<Joint>();
    const std::weak_ptr<ipc::Session> weak = session;
    joint->progress = [this, weak, id = request.id](const WaitProgress& progress) {
        send_progress(weak, id, progress);
    };
    for (const ReloadPart& part : *parts)
        joint->total += static_cast<int>(part.ids.size());
    joint->answer = [this, weak, request](const WaitResult& result) {
        if (const auto to = weak.lock()) answer(to, request, result);
    };
    for (const ReloadPart& part : *parts)
        reload_part(part, joint, cause);
    changed();
    part_done(joint, {});
    return {};
}

void Control::reload_part(const ReloadPart& part, const std::shared_ptr<Joint>& joint,
                          const std::string& cause)
{
    auto& touched = joint->result.ids;
    ++joint->open;
    Waiting::Wait& wait = waiting_.prepare(
        {}, [this, joint](WaitResult result) { part_done(joint, std::move(result)); });
    std::vector<int> live;
    for (const int id : part.ids) {
        Worker& worker = *supervisor_.find(id);
        if (can_overlap(*part.app) && worker.life.state == State::online) {
            live.push_back(id);
            continue;
        }
        // Nothing to take over from, or no socket that both could hold: one after the other.
        supervisor_.change(worker, part.app);
        waiting_.add(wait, worker, Goal::up);
        supervisor_.ask(worker, Event::restart_asked, cause);
    }
    touched.insert(touched.end(), part.ids.begin(), part.ids.end());
    if (part.ids.empty()) {
        const auto started = start_app(part.app, Existing::restart, wait, cause);
        touched.insert(touched.end(), started.begin(), started.end());
    }
    waiting_.begin(wait);
    if (live.empty()) return;

    ++joint->open;
    reloads_.start(
        part.name, std::move(live), part.app, cause,
        [joint](const Worker& worker, std::string_view phase) {
            joint->replaced += phase == "drained" ? 1 : 0;
            joint->progress({.done = joint->replaced,
                             .total = joint->total,
                             .id = worker.id,
                             .name = worker.spec().name,
                             .status = std::string{phase},
                             .failed = false});
        },
        [this, joint](std::optional<WaitFailure> failure) {
            WaitResult result;
            if (failure) result.failures.push_back(std::move(*failure));
            changed();
            part_done(joint, std::move(result));
        });
}

} // namespace cluster::supervisor
