// Control, the methods that declare apps: start, restart, scale, and what a new daemon restores.
#include "supervisor/daemon/control.hpp"

#include "ipc/wire/attributes.hpp"
#include "supervisor/daemon/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

RpcError faulty_apps(const ipc::Diagnostics& diagnostics, const std::string& path)
{
    json texts = json::array();
    std::string first;
    for (const ipc::Diagnostic& diagnostic : diagnostics) {
        if (diagnostic.severity != ipc::Severity::error) continue;
        if (first.empty()) first = diagnostic.text();
        texts.push_back(diagnostic.text());
    }
    return {.code = ipc::kInvalidParams,
            .message = path + ": " + first,
            .data = {{"path", path}, {"expected", "no faults"}, {"faults", texts}}};
}

} // namespace

ipc::RpcResult<ipc::Environment> Control::environment_in(const json& params) const
{
    ipc::Environment environment;
    const json given = params.value("environment", json::object());
    if (!given.is_object())
        return ipc::invalid_param("/environment", "an object of strings", given);
    for (const auto& [name, value] : given.items()) {
        if (!value.is_string())
            return ipc::invalid_param("/environment/" + name, "a string", value);
        const auto& text = value.get_ref<const std::string&>();
        // exec(2) takes C strings: "NAME=value" up to the first NUL.
        if (name.empty() || name.find('=') != std::string::npos ||
            name.find('\0') != std::string::npos || text.find('\0') != std::string::npos)
            return ipc::invalid_param("/environment/" + name, "NAME: value without NUL", value);
        environment.emplace(name, text);
    }
    return environment;
}

/// Equal environments are kept once: a hundred apps started from one shell share a few kilobytes.
std::shared_ptr<const ipc::Environment> Control::intern(ipc::Environment environment)
{
    std::erase_if(environments_, [](const auto& known) { return known.expired(); });
    for (const auto& known : environments_) {
        if (auto same = known.lock(); same && *same == environment) return same;
    }
    auto fresh = std::make_shared<const ipc::Environment>(std::move(environment));
    environments_.push_back(fresh);
    return fresh;
}

ipc::RpcResult<std::vector<Control::AppPtr>> Control::declare_all(const json& params)
{
    const json apps = params.value("apps", json{});
    if (!apps.is_array() || apps.empty())
        return ipc::invalid_param("/apps", "an array of apps, at least one",
                                  apps.is_array() ? apps : json{});
    auto environment = environment_in(params);
    if (!environment) return std::unexpected(environment.error());
    const auto inherited = intern(std::move(*environment));

    ipc::Diagnostics diagnostics;
    std::vector<ipc::AppSpec> specs;
    for (std::size_t index = 0; index < apps.size(); ++index) {
        auto spec =
            ipc::parse_app(apps[index], {.file = {}, .index = index, .env_name = {}}, diagnostics);
        if (!spec) continue;
        if (!spec->script.starts_with('/') || !spec->cwd.starts_with('/'))
            return ipc::invalid_param(fmt::format("/apps/{}", index),
                                      "an app whose script and cwd are absolute paths",
                                      {{"script", spec->script}, {"cwd", spec->cwd}});
        specs.push_back(std::move(*spec));
    }
    if (ipc::has_errors(diagnostics)) return std::unexpected(faulty_apps(diagnostics, "/apps"));

    std::vector<AppPtr> declared;
    for (ipc::AppSpec& spec : specs) {
        const std::string name = spec.name;
        auto app = supervisor_.declare(std::move(spec), inherited);
        if (!app) {
            return std::unexpected(
                RpcError{.code = ipc::kFailed,
                         .message = fmt::format("{}: {}", name, app.error().text()),
                         .data = {{"failures", json::array()}, {"processes", json::array()}}});
        }
        declared.push_back(std::move(*app));
    }
    return declared;
}

Control::Outcome Control::refuse_existing(const std::vector<AppPtr>& apps) const
{
    for (const AppPtr& app : apps) {
        for (const auto& [id, worker] : supervisor_.workers()) {
            const bool same =
                worker->spec().name == app->spec.name && worker->spec().script == app->spec.script;
            if (!same || worker->at_rest()) continue;
            return std::unexpected(
                RpcError{.code = ipc::kExists,
                         .message = "Script already launched, add -f option to force re-execution",
                         .data = {{"name", app->spec.name}}});
        }
    }
    return {};
}

Control::Outcome Control::start(const SessionPtr& session, const ipc::Request& request)
{
    const json mode = request.params.value("existing", json("restart"));
    if (mode != "restart" && mode != "error" && mode != "new")
        return ipc::invalid_param("/existing", R"("restart", "error" or "new")", mode);
    const Existing existing = mode == "restart" ? Existing::restart
                              : mode == "error" ? Existing::error
                                                : Existing::fresh;
    const auto apps = declare_all(request.params);
    if (!apps) return std::unexpected(apps.error());
    if (existing == Existing::error) {
        if (auto refused = refuse_existing(*apps); !refused) return refused;
    }
    const std::string cause =
        fmt::format("start asked by {} (uid {})", session->client(), session->uid());
    Waiting::Wait& wait = answer_when_done(session, request);
    std::vector<int> ids;
    for (const AppPtr& app : *apps) {
        const std::vector<int> touched = start_app(app, existing, wait, cause);
        ids.insert(ids.end(), touched.begin(), touched.end());
    }
    conclude(wait, session, request, ids);
    return {};
}

std::vector<int> Control::start_app(const AppPtr& app, Existing existing, Waiting::Wait& wait,
                                    const std::string& cause)
{
    std::vector<int> known = supervisor_.of_app(app->spec.name);
    if (existing == Existing::error) {
        // Another script under the same name is another app (PM2); the same one is started again.
        std::erase_if(
            known, [&](int id) { return supervisor_.find(id)->spec().script != app->spec.script; });
    }
    if (existing == Existing::fresh) known.clear();
    cancel_reloads(known, cause);
    for (const int id : known) {
        Worker& worker = *supervisor_.find(id);
        supervisor_.change(worker, app);
        waiting_.add(wait, worker, Goal::up);
        ordering_.start(worker, Event::restart_asked, cause);
    }
    if (!known.empty() && !app->spec.instances) return known;
    if (!known.empty()) {
        const int wanted = resolve_instances(app->spec.instances, supervisor_.cpus());
        return resize(app, wanted, wait, cause);
    }
    std::vector<int> ids;
    const int count = resolve_instances(app->spec.instances, supervisor_.cpus());
    const std::vector<int> free = free_numbers({}, count);
    for (const int number : free) {
        Worker& worker = supervisor_.add(app, number);
        ids.push_back(worker.id);
        start_worker(worker, wait, cause);
    }
    return ids;
}

void Control::start_worker(Worker& worker, Waiting::Wait& wait, const std::string& cause)
{
    if (!worker.spec().autostart) return;
    waiting_.add(wait, worker, Goal::up);
    ordering_.start(worker, Event::start_asked, cause);
}

/// Adds or removes workers of one app; answers the ids of all that remain.
std::vector<int> Control::resize(const AppPtr& app, int wanted, Waiting::Wait& wait,
                                 const std::string& cause)
{
    std::vector<InstanceView> have;
    std::vector<int> taken;
    for (const int id : supervisor_.of_app(app->spec.name)) {
        have.push_back({.id = id, .number = supervisor_.find(id)->instance});
        taken.push_back(have.back().number);
    }
    const ScalePlan plan = plan_scale(have, wanted);
    for (const int id : plan.remove) {
        Worker& worker = *supervisor_.find(id);
        waiting_.add(wait, worker, Goal::gone);
        ordering_.forget(worker);
        supervisor_.ask(worker, Event::delete_asked, cause, Leave::drained);
    }
    for (const int number : free_numbers(taken, plan.add))
        start_worker(supervisor_.add(app, number), wait, cause);
    return supervisor_.of_app(app->spec.name);
}

Control::Outcome Control::scale(const SessionPtr& session, const ipc::Request& request)
{
    const json name = request.params.value("name", json{});
    if (!name.is_string()) return ipc::invalid_param("/name", "an app's name", name);
    const std::vector<int> ids = supervisor_.of_app(name.get_ref<const std::string&>());
    if (ids.empty()) {
        return std::unexpected(RpcError{.code = ipc::kNotFound,
                                        .message = "no app " + name.get<std::string>(),
                                        .data = {{"target", name}}});
    }
    const json given = request.params.value("instances", json{});
    const std::string text = given.is_string() ? given.get<std::string>() : ipc::dump(given);
    const auto wanted = parse_scale(text, static_cast<int>(ids.size()), supervisor_.cpus());
    if (!wanted) {
        return std::unexpected(
            RpcError{.code = ipc::kInvalidParams,
                     .message = wanted.error(),
                     .data = {{"path", "/instances"}, {"expected", "a number of instances"}}});
    }

    const AppPtr& current = supervisor_.find(ids.front())->app;
    ipc::AppSpec spec = current->spec;
    spec.merge_logs = spec.merged_logs(); // the files of those that stay keep their names
    spec.instances = ipc::Instances{.relative = false, .count = *wanted};
    auto app = supervisor_.declare(std::move(spec), current->inherited);
    if (!app) {
        return std::unexpected(
            RpcError{.code = ipc::kFailed, .message = app.error().text(), .data = nullptr});
    }
    const std::string cause =
        fmt::format("scale asked by {} (uid {})", session->client(), session->uid());
    cancel_reloads(ids, cause);
    Waiting::Wait& wait = answer_when_done(session, request);
    for (const int id : ids) {
        Worker& worker = *supervisor_.find(id);
        supervisor_.change(worker, *app);
    }
    const std::vector<int> remaining = resize(*app, *wanted, wait, cause);
    for (const int id : remaining) {
        // The answer shows those that stay, too.
        const Worker& worker = *supervisor_.find(id);
        if (worker.life.state == State::online) waiting_.add(wait, worker, Goal::up);
    }
    conclude(wait, session, request, remaining);
    return {};
}

/// The worker's app with what a restart changes: variables laid over the caller's environment that
/// is stored and, as PM2 does it, over `env`; attributes over those that were declared.
ipc::RpcResult<Control::AppPtr> Control::revise(const Worker& worker, const json& params)
{
    const auto added = environment_in(params);
    if (!added) return std::unexpected(added.error());
    ipc::Environment inherited = *worker.app->inherited;
    json attributes = ipc::to_json(worker.spec());
    for (const auto& [name, value] : *added) {
        inherited[name] = value;
        if (worker.spec().env.contains(name)) attributes["env"][name] = value;
    }
    if (const json changed = params.value("attributes", json::object()); changed.is_object())
        attributes.update(changed);
    else
        return ipc::invalid_param("/attributes", "an object", changed);
    ipc::Diagnostics diagnostics;
    auto spec = ipc::parse_app(attributes, {}, diagnostics);
    if (!spec) return std::unexpected(faulty_apps(diagnostics, "/attributes"));
    auto app = supervisor_.declare(std::move(*spec), intern(std::move(inherited)));
    if (app) return *app;
    return std::unexpected(
        RpcError{.code = ipc::kFailed, .message = app.error().text(), .data = nullptr});
}

ipc::RpcResult<Control::Revised> Control::revise_all(const std::vector<int>& ids,
                                                     const json& params)
{
    Revised revised;
    if (!params.contains("environment") && !params.contains("attributes")) return revised;
    for (const int id : ids) {
        const Worker& worker = *supervisor_.find(id);
        if (revised.contains(worker.app)) continue;
        auto app = revise(worker, params);
        if (!app) return std::unexpected(app.error());
        revised[worker.app] = std::move(*app);
    }
    return revised;
}

Control::Outcome Control::restart(const SessionPtr& session, const ipc::Request& request)
{
    const auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    const auto revised = revise_all(*ids, request.params);
    if (!revised) return std::unexpected(revised.error());
    const std::string cause =
        fmt::format("restart asked by {} (uid {})", session->client(), session->uid());
    cancel_reloads(*ids, cause);
    Waiting::Wait& wait = answer_when_done(session, request);
    for (const int id : *ids) {
        Worker& worker = *supervisor_.find(id);
        if (const auto found = revised->find(worker.app); found != revised->end())
            supervisor_.change(worker, found->second);
        waiting_.add(wait, worker, Goal::up);
        ordering_.forget(worker);
        supervisor_.ask(worker, Event::restart_asked, cause);
    }
    for (const auto& [before, app] : *revised) {
        if (app->spec.instances != before->spec.instances)
            resize(app, resolve_instances(app->spec.instances, supervisor_.cpus()), wait, cause);
    }
    conclude(wait, session, request, *ids);
    return {};
}

} // namespace cluster::supervisor
