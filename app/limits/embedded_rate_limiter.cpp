#include "app/limits/make_rate_limiter.hpp"
#include "app/limits/shared_counters.hpp"

#include <utility>

namespace cluster::app {
namespace {

class EmbeddedRateLimiter final : public RateLimiter {
public:
    EmbeddedRateLimiter(const ipc::Clock& clock, const RateLimitOptions& options,
                        SharedCounters counters)
        : clock_{clock}, options_{options}, counters_{std::move(counters)}, alone_{options}
    {
    }

    asio::awaitable<Quota> take(std::string client) override
    {
        const std::int64_t now = clock_.wall_ms();
        const auto counted = counters_.take(client, now, options_.limit.window);
        if (!counted) co_return alone_.take(client, clock_.now());
        co_return quota_of(options_.limit, counted->count, milliseconds{counted->ends_ms - now});
    }

    [[nodiscard]] std::string_view form() const override { return "embedded"; }

private:
    const ipc::Clock& clock_;
    RateLimitOptions options_;
    SharedCounters counters_;
    AloneCounter alone_;
};

} // namespace

Result<std::unique_ptr<RateLimiter>> make_embedded_rate_limiter(const ipc::Clock& clock,
                                                                const std::string& path,
                                                                const RateLimitOptions& options,
                                                                Log& log)
{
    auto counters = SharedCounters::open(path);
    if (!counters) return std::unexpected(counters.error());
    log.warn("Rate limiter uses the embedded store: it counts for this host alone");
    return std::make_unique<EmbeddedRateLimiter>(clock, options, std::move(*counters));
}

} // namespace cluster::app
