#include "app/settings.hpp"

#include <array>
#include <string>
#include <utility>

namespace cluster::app {
namespace {

LogLevel read_level(Environment& environment)
{
    constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLevels{{
        {"debug", LogLevel::debug},
        {"info", LogLevel::info},
        {"warn", LogLevel::warn},
        {"error", LogLevel::error},
    }};
    const std::string given =
        environment.choice("LOG_LEVEL", "info", {"debug", "info", "warn", "error"});
    for (const auto& [name, level] : kLevels)
        if (name == given) return level;
    return LogLevel::info;
}

/// What is shared by hosts needs tokens that all hosts understand; a single host makes its own
/// secret.
void demand_secret(Environment& environment)
{
    if (environment.has("JWT_SECRET")) return;
    for (const char* const name : {"DATABASE_URL", "REDIS_URL", "REDIS_HOST",
                                   "REDIS_SENTINEL_HOSTS", "REDIS_CLUSTER_NODES"}) {
        if (!environment.has(name)) continue;
        environment.fault(std::string{"JWT_SECRET must be set (at least 32 characters, the same "
                                      "for all instances) when "} +
                          name + " is: openssl rand -hex 32 makes one");
        return;
    }
}

} // namespace

Settings read_settings(Environment& environment, pid_t self, bool terminal, bool worker)
{
    demand_secret(environment);
    const std::string format =
        environment.choice("LOG_FORMAT", terminal ? "text" : "json", {"json", "text"});
    Settings settings{.log_level = read_level(environment),
                      .log_format = format == "text" ? LogFormat::text : LogFormat::json,
                      .data_dir = environment.text("DATA_DIR", "data"),
                      .http = read_http_options(environment, self),
                      .redis = read_redis_options(environment),
                      .store = read_store_options(environment),
                      .rate_limit = read_rate_limit_options(environment),
                      .accounts = read_account_options(environment),
                      .metrics = read_metrics_options(environment),
                      .socketio = read_events_options(environment)};
    // An instance that shares nothing with other hosts does its background work itself.
    settings.background = read_background_options(environment, !settings.redis.enabled());
    settings.background.works = settings.background.works || worker;
    settings.worker = worker;
    return settings;
}

} // namespace cluster::app
