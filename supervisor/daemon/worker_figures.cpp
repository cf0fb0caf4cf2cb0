#include "supervisor/daemon/worker_figures.hpp"

#include "supervisor/daemon/state.hpp"
#include "supervisor/sys/cgroups.hpp"

#include <algorithm>

namespace cluster::supervisor {
namespace {

std::uint64_t count_of(bool yes)
{
    return yes ? 1 : 0;
}

/// The lowest at which something happens to it; 0 none.
std::uint64_t memory_limit_of(const ipc::AppSpec& spec)
{
    const std::uint64_t a = spec.memory_max;
    const std::uint64_t b = spec.max_memory_restart;
    return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

bool is_healthy(const Worker& worker)
{
    return !worker.serving || !worker.serving->health().starts_with("failing");
}

/// Asks for the next one, too. Not while it starts or ends: its loop has no time for that. Bun
/// would hand the question to the app.
std::optional<double> loop_lag_of(const Worker& worker)
{
    if (!worker.node || worker.life.state != State::online ||
        worker.spec().interpreter.ends_with("bun"))
        return std::nullopt;
    const auto lag = worker.node->lag();
    worker.node->measure_lag();
    if (!lag) return std::nullopt;
    return lag->count();
}

} // namespace

std::vector<StreamFigures> stream_figures(const Worker& worker)
{
    std::vector<StreamFigures> figures;
    if (worker.out) figures.push_back({"out", worker.out->figures()});
    if (worker.err) figures.push_back({"err", worker.err->figures()});
    return figures;
}

WorkerFigures figures_of(Supervisor& supervisor, const Worker& worker)
{
    const Usage usage = supervisor.usage(worker);
    const ipc::AppSpec& spec = worker.spec();
    const bool up = worker.life.state == State::online;
    WorkerFigures figures;
    figures.app = worker.app;
    figures.labels = {{"app", spec.name},
                      {"namespace", spec.name_space},
                      {"worker", std::to_string(worker.id)},
                      {"slot", std::to_string(worker.instance)}};
    figures.state = worker.life.state;
    figures.wanted = is_wanted(worker);
    figures.up = count_of(up);
    figures.ready = count_of(up && is_healthy(worker));
    if (worker.alive()) figures.started_s = static_cast<double>(worker.started_wall_ms) / 1000;
    figures.cpu_s = Supervisor::cpu_time(worker);
    figures.memory = usage.memory;
    figures.group_memory = group_memory(supervisor.system(), worker.groups).value_or(0);
    figures.memory_limit = memory_limit_of(spec);
    figures.tasks = static_cast<std::uint64_t>(usage.tasks);
    figures.loop_lag_s = loop_lag_of(worker);
    figures.restarts = static_cast<std::uint64_t>(worker.life.restarts);
    figures.unstable_restarts = static_cast<std::uint64_t>(worker.life.unstable_restarts);
    figures.exits = worker.exits_by;
    figures.logs = stream_figures(worker);
    return figures;
}

std::map<std::string, AppFigures> figures_of_apps(const std::vector<WorkerFigures>& workers)
{
    std::map<std::string, AppFigures> apps;
    for (const WorkerFigures& worker : workers) {
        const ipc::AppSpec& spec = worker.app->spec;
        const auto [app, fresh] = apps.try_emplace(spec.name);
        if (fresh) app->second.labels = {{"app", spec.name}, {"namespace", spec.name_space}};
        app->second.desired += count_of(worker.wanted);
        app->second.ready += worker.ready;
    }
    return apps;
}

} // namespace cluster::supervisor
