// The forms of a rate limiter.
#pragma once

#include "app/base/log.hpp"
#include "app/limits/options.hpp"
#include "app/limits/rate_limiter.hpp"
#include "app/redis/redis.hpp"
#include "ipc/base/clock.hpp"

#include <memory>
#include <string>

namespace cluster::app {

/// Counts in `redis`, with all instances on all hosts, under `rl:CLIENT`. When that cannot be, the
/// policy of `options` decides; the log is told when it begins to and when it ends.
[[nodiscard]] std::unique_ptr<RateLimiter>
make_rate_limiter(Redis& redis, const ipc::Clock& clock, const RateLimitOptions& options, Log& log);

/// Counts in the file `path`, with all instances on this host. Warns in the log, once, that other
/// hosts count for themselves. Errors name the path.
[[nodiscard]] Result<std::unique_ptr<RateLimiter>>
make_embedded_rate_limiter(const ipc::Clock& clock, const std::string& path,
                           const RateLimitOptions& options, Log& log);

} // namespace cluster::app
