#include "app/limits/options.hpp"

namespace cluster::app {
namespace {

/// About 20 MB at most.
constexpr std::size_t kMaxClients = 100'000;

} // namespace

AloneCounter::AloneCounter(const RateLimitOptions& options)
    : options_{options}, windows_{options.limit, kMaxClients}
{
}

Quota AloneCounter::take(const std::string& client, milliseconds now)
{
    using OnError = RateLimitOptions::OnError;
    const RateLimit& limit = options_.limit;
    if (options_.on_error == OnError::local) return windows_.take(client, now);
    if (options_.on_error == OnError::allow) return quota_of(limit, 0, limit.window);
    return {.allowed = false, .limit = limit.max, .remaining = 0, .reset = milliseconds{1000}};
}

RateLimitOptions read_rate_limit_options(Environment& environment)
{
    constexpr int kMaxWindowMs = 86'400'000; // a day
    constexpr int kMaxRequests = 1'000'000;
    RateLimitOptions options;
    options.on = environment.flag("RATE_LIMIT", true);
    options.limit.window =
        milliseconds{environment.number("RATE_LIMIT_WINDOW_MS", 60'000, 100, kMaxWindowMs)};
    options.limit.max = environment.number("RATE_LIMIT_MAX_REQUESTS", 100, 1, kMaxRequests);
    const std::string policy =
        environment.choice("RATE_LIMIT_ON_ERROR", "local", {"local", "allow", "deny"});
    using enum RateLimitOptions::OnError;
    options.on_error = policy == "allow" ? allow : policy == "deny" ? deny : local;
    return options;
}

} // namespace cluster::app
