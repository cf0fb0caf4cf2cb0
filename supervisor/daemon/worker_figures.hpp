// The figures of one worker and of one app at one moment, as plain values.
#pragma once

#include "ipc/wire/exposition.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

using ipc::Labels;

/// Of one stream of a worker.
struct StreamFigures {
    std::string_view stream; ///< "out", "err"
    LogFigures log;
};
[[nodiscard]] std::vector<StreamFigures> stream_figures(const Worker& worker);

struct WorkerFigures {
    std::shared_ptr<const App> app;
    /// app, namespace, worker (the id of `list`) and slot (the instance number). Not "instance":
    /// that is Prometheus's own, the address that it scrapes.
    Labels labels;
    State state = State::stopped;
    bool wanted = false; ///< shall run
    std::uint64_t up = 0;
    std::uint64_t ready = 0;
    double started_s = 0; ///< since 1970; 0 no process
    double cpu_s = 0;     ///< over all its processes
    std::uint64_t memory = 0;
    std::uint64_t group_memory = 0; ///< 0 no group
    std::uint64_t memory_limit = 0; ///< 0 none
    std::uint64_t tasks = 0;
    std::optional<double> loop_lag_s; ///< of a Node program, as of the scrape before
    std::uint64_t restarts = 0;
    std::uint64_t unstable_restarts = 0;
    ExitCounts exits{};
    std::vector<StreamFigures> logs;
};
/// Samples its tree, unless that was done a moment ago.
[[nodiscard]] WorkerFigures figures_of(Supervisor& supervisor, const Worker& worker);

struct AppFigures {
    Labels labels; ///< app, namespace
    std::uint64_t desired = 0;
    std::uint64_t ready = 0;
    bool reloading = false;
};
/// By name.
[[nodiscard]] std::map<std::string, AppFigures>
figures_of_apps(const std::vector<WorkerFigures>& workers);

} // namespace cluster::supervisor
