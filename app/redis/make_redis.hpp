// The way to a Redis: its settings say which of the forms it is.
#pragma once

#include "app/base/log.hpp"
#include "app/metrics/metrics.hpp"
#include "app/redis/options.hpp"
#include "app/redis/redis.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::app {

/// `options` must be `enabled()`. Returns at once and connects by itself: until then (and whenever
/// it is away) calls fail. `io` and `log` must outlive it; `metrics`, when given, too.
/// Figures: redis_up, redis_commands_total, redis_errors_total, redis_command_seconds,
/// redis_reconnects_total.
[[nodiscard]] std::unique_ptr<Redis> make_redis(asio::io_context& io, const RedisOptions& options,
                                                Log& log, Metrics* metrics = nullptr);

/// Whether it answers now: one PING. Errors: those of Redis::call.
[[nodiscard]] asio::awaitable<Result<void>> ping(Redis& redis);

} // namespace cluster::app
