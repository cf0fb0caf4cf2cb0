// What Prometheus is told: gathered when it asks, in turns of the loop that are short whatever
// runs, and written metric by metric as the scraper takes it. The table of all is in metrics.cpp,
// for people in docs/metrics.md.
#pragma once

#include "ipc/net/server.hpp"
#include "ipc/wire/exposition.hpp"
#include "supervisor/engine/reloads.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace cluster::supervisor {

using ipc::Metric;

/// What is not known to the supervisor; asked once per scrape.
struct DaemonFigures {
    const std::map<std::string, Reloads::Tally>* reloads = nullptr;
    std::set<std::string> reloading; ///< apps
    int clients = 0;                 ///< connected to the control socket
    std::uint64_t dropped_lines = 0; ///< that slow followers of logs did not get
    std::uint64_t scrapes = 0;       ///< answered before this one
    std::uint64_t refused = 0;       ///< requests of scrapers that were not answered
};

/// One answer: each call appends a piece, or nothing and there is more to do; false: that was all.
/// `waited_s`: how long the loop took to come to this scrape.
[[nodiscard]] ipc::Producer scrape(Supervisor& supervisor, DaemonFigures daemon, double waited_s);

/// All that can be served, for the documentation and its test.
[[nodiscard]] std::span<const Metric> all_metrics();

} // namespace cluster::supervisor
