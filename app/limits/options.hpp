// RATE_LIMIT_* of the environment.
#pragma once

#include "app/base/environment.hpp"
#include "app/limits/window_counter.hpp"

namespace cluster::app {

struct RateLimitOptions {
    /// What happens to a request that cannot be counted with those of the other instances.
    enum class OnError {
        local, ///< this instance counts alone, until it can
        allow, ///< it is let through
        deny,  ///< it is refused
    };
    bool on = true;
    RateLimit limit{};
    OnError on_error = OnError::local;
};

/// What decides while the shared count cannot be had: the policy of `options`.
class AloneCounter {
public:
    explicit AloneCounter(const RateLimitOptions& options);
    Quota take(const std::string& client, milliseconds now);

private:
    RateLimitOptions options_;
    WindowCounter windows_;
};

/// Faults: see Environment.
[[nodiscard]] RateLimitOptions read_rate_limit_options(Environment& environment);

} // namespace cluster::app
