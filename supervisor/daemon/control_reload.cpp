// Control, reload: which apps, made from what, and one answer for all of them.
#include "supervisor/daemon/control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
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
    std::function<void(const Joint&, const Worker&, const ReloadStep&)> on_step;
};

void Control::part_done(const std::shared_ptr<Joint>& joint, WaitResult part)
{
    std::ranges::move(part.failures, std::back_inserter(joint->result.failures));
    if (--joint->open == 0) when_saved([joint] { joint->answer(joint->result); });
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
    const json queue = request.params.value("queue", json(true));
    if (!queue.is_boolean()) return ipc::invalid_param("/queue", "true or false", queue);
    const auto parts = parts_of(request.params);
    if (!parts) return std::unexpected(parts.error());
    for (const ReloadPart& part : *parts) {
        if (queue == true || !reloads_.running(part.name)) continue;
        return std::unexpected(RpcError{
            .code = ipc::kFailed,
            .message = fmt::format("a reload of {} is under way: wait for it, or end it with "
                                   "clusterctl reload {} --abort",
                                   part.name, part.name),
            .data = {{"name", part.name}}});
    }
    announce(session, request, *parts);
    const std::string cause =
        fmt::format("reload asked by {} (uid {})", session->client(), session->uid());
    auto joint = std::make_shared<Joint>();
    const std::weak_ptr<ipc::Session> weak = session;
    for (const ReloadPart& part : *parts)
        joint->total += static_cast<int>(part.ids.size());
    joint->on_step = [this, weak, id = request.id](const Joint& all, const Worker& worker,
                                                   const ReloadStep& step) {
        send_step(weak, id, all, worker, step);
    };
    joint->answer = [this, weak, request](const WaitResult& result) {
        if (const auto to = weak.lock()) answer(to, request, result);
    };
    for (const ReloadPart& part : *parts)
        reload_part(part, joint, cause);
    changed();
    part_done(joint, {});
    return {};
}

/// What cannot be changed without a restart, before it is done.
void Control::announce(const SessionPtr& session, const ipc::Request& request,
                       const std::vector<ReloadPart>& parts)
{
    const auto say = [&](const std::string& text) {
        session->notify(
            ipc::notification_frame("notice", {{"request", request.id}, {"text", text}}));
    };
    for (const ReloadPart& part : parts) {
        if (part.ids.empty()) continue;
        if (reloads_.running(part.name))
            say(fmt::format("{}: waits for the reload that is under way", part.name));
        if (can_overlap(*part.app)) continue;
        say(fmt::format("{} opens its port by itself, so its processes are restarted one after the "
                        "other; with \"listen\" or exec_mode \"cluster\" none would be missing",
                        part.name));
    }
}

void Control::send_step(const std::weak_ptr<ipc::Session>& session, const json& request_id,
                        const Joint& joint, const Worker& worker, const ReloadStep& step)
{
    const auto to = session.lock();
    if (!to || !to->open()) return;
    json params{
        {"request", request_id},
        {"done", joint.replaced},
        {"total", joint.total},
        {"failed", step.phase == "failed"},
        {"phase", step.phase},
        {"elapsed_ms", step.elapsed.count()},
        {"process", {{"id", worker.id}, {"name", worker.spec().name}, {"status", step.phase}}}};
    if (!step.note.empty()) params["note"] = step.note;
    to->notify(ipc::notification_frame("progress", params));
}

Control::Outcome Control::abort_reload(const SessionPtr& session, const ipc::Request& request)
{
    const auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    const std::string cause =
        fmt::format("asked by {} (uid {})", session->client(), session->uid());
    std::set<std::string> names;
    for (const int id : *ids)
        names.insert(supervisor_.find(id)->spec().name);
    json aborted = json::array();
    for (const std::string& name : names)
        if (reloads_.abort(name, cause)) aborted.push_back(name);
    if (aborted.empty())
        return std::unexpected(RpcError{
            .code = ipc::kFailed, .message = "no reload is under way", .data = {{"names", names}}});
    session->respond(request, json{{"aborted", aborted}});
    return {};
}

/// `cron_restart`, of any app: several workers one after the other, as `reload` does it, and one
/// alone as `restart` does it unless a new process can serve beside the old one. What is stopped is
/// started (PM2).
void Control::restart_by_clock(const std::string& app_name)
{
    if (ending_ != Ending::none || stopping_all_ || reloads_.running(app_name)) return;
    std::vector<int> online;
    std::string cause;
    bool overlap = false;
    for (const int id : supervisor_.of_app(app_name)) {
        Worker& worker = *supervisor_.find(id);
        cause = "cron_restart " + worker.spec().cron_restart;
        overlap = can_overlap(*worker.app);
        if (worker.life.state == State::online)
            online.push_back(id);
        else if (worker.at_rest() || worker.life.state == State::waiting_restart)
            ordering_.start(worker, Event::restart_asked, cause);
    }
    changed();
    if (online.empty()) return;
    log_.info(fmt::format("{}: {}", app_name, cause));
    if (online.size() == 1 && !overlap)
        return supervisor_.ask(*supervisor_.find(online.front()), Event::restart_asked, cause);
    reloads_.start({.name = app_name,
                    .ids = std::move(online),
                    .app = nullptr,
                    .cause = cause,
                    .on_step = [](const Worker&, const ReloadStep&) {},
                    .on_done = [this](const std::optional<WaitFailure>&) { changed(); }});
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
        if (worker.life.state == State::online) {
            live.push_back(id);
            continue;
        }
        supervisor_.change(worker, part.app); // nothing to take over from
        waiting_.add(wait, worker, Goal::up);
        ordering_.start(worker, Event::restart_asked, cause);
    }
    touched.insert(touched.end(), part.ids.begin(), part.ids.end());
    if (part.ids.empty()) {
        const auto started = start_app(part.app, Existing::restart, wait, cause);
        touched.insert(touched.end(), started.begin(), started.end());
    }
    waiting_.begin(wait);
    if (live.empty()) return;

    ++joint->open;
    reloads_.start({.name = part.name,
                    .ids = std::move(live),
                    .app = part.app,
                    .cause = cause,
                    .on_step =
                        [joint](const Worker& worker, const ReloadStep& step) {
                            joint->replaced += step.phase == "done" ? 1 : 0;
                            joint->on_step(*joint, worker, step);
                        },
                    .on_done =
                        [this, joint](std::optional<WaitFailure> failure) {
                            WaitResult result;
                            if (failure) result.failures.push_back(std::move(*failure));
                            changed();
                            part_done(joint, std::move(result));
                        }});
}

} // namespace cluster::supervisor
