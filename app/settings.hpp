// Everything that the environment says, read once at start. Each role reads its own part.
#pragma once

#include "app/accounts/options.hpp"
#include "app/background.hpp"
#include "app/base/environment.hpp"
#include "app/base/line_log.hpp"
#include "app/events/events_options.hpp"
#include "app/http/options.hpp"
#include "app/limits/options.hpp"
#include "app/metrics/registry.hpp"
#include "app/redis/options.hpp"
#include "app/store/options.hpp"

#include <sys/types.h>

#include <string>

namespace cluster::app {

struct Settings {
    LogLevel log_level = LogLevel::info;    ///< LOG_LEVEL
    LogFormat log_format = LogFormat::json; ///< LOG_FORMAT
    std::string data_dir;                   ///< DATA_DIR: of what is embedded
    HttpOptions http;
    RedisOptions redis;
    StoreOptions store;
    RateLimitOptions rate_limit;
    AccountOptions accounts;
    MetricsOptions metrics;
    EventsOptions socketio;
    BackgroundOptions background{};
    bool worker = false; ///< clusterapp --worker: works for the queue, answers nobody
};

/// What is wrong is left in `environment.faults()`. `self` is our process id; `terminal` says
/// whether stdout is one, `worker` whether it was asked to be one.
[[nodiscard]] Settings read_settings(Environment& environment, pid_t self, bool terminal,
                                     bool worker = false);

} // namespace cluster::app
