// GET /metrics: the figures of all processes of this host that share METRICS_DIR, in Prometheus's
// text format, whichever of them is asked; with ?scope=instance those of the one that is asked.
#pragma once

#include "app/http/router.hpp"
#include "app/metrics/registry.hpp"

#include <string>

namespace cluster::app {

/// `instance` labels the samples of a single process. With a token in `options` a scraper has to
/// show it as `Authorization: Bearer TOKEN`. `registry` must outlive the router.
void add_metrics_route(Router& router, Registry& registry, const MetricsOptions& options,
                       std::string instance);

} // namespace cluster::app
