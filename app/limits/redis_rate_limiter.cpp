#include "app/limits/make_rate_limiter.hpp"

#include <utility>

namespace cluster::app {
namespace {

/// One atomic step. The window is set anew when it is missing: a key without a life (somebody wrote
/// it by hand) would refuse its client for ever.
constexpr std::string_view kTake = R"(
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
)";
constexpr milliseconds kCalm{5000};

class RedisRateLimiter final : public RateLimiter {
public:
    RedisRateLimiter(Redis& redis, const ipc::Clock& clock, const RateLimitOptions& options,
                     Log& log)
        : redis_{redis}, clock_{clock}, options_{options}, log_{log}, alone_{options}
    {
    }

    asio::awaitable<Quota> take(std::string client) override
    {
        std::vector<std::string> keys{"rl:" + client};
        std::vector<std::string> args{std::to_string(options_.limit.window.count())};
        auto script = redis_.script(kTake, std::move(keys), std::move(args));
        const auto reply = co_await std::move(script);
        if (reply && reply->items.size() == 2) {
            succeeded();
            co_return quota_of(options_.limit, reply->items[0].number,
                               milliseconds{reply->items[1].number});
        }
        failed(reply ? "the answer of the script is not what it returns" : reply.error().text());
        co_return alone_.take(client, clock_.now());
    }

    [[nodiscard]] std::string_view form() const override { return "redis"; }

private:
    void failed(const std::string& why)
    {
        failed_at_ = clock_.now();
        if (std::exchange(failing_, true)) return;
        constexpr const char* kPolicies[] = {"this instance counts alone", "all are let through",
                                             "all are refused"};
        log_.warn("Rate limiter cannot count in Redis",
                  {{"policy", kPolicies[static_cast<int>(options_.on_error)]}, {"error", why}});
    }

    /// Not at the first success: while one server of a Cluster is away, every other request fails.
    void succeeded()
    {
        if (!failing_ || clock_.now() - failed_at_ < kCalm) return;
        failing_ = false;
        log_.info("Rate limiter counts in Redis again");
    }

    Redis& redis_;
    const ipc::Clock& clock_;
    RateLimitOptions options_;
    Log& log_;
    AloneCounter alone_;
    bool failing_ = false;
    milliseconds failed_at_{0};
};

} // namespace

std::unique_ptr<RateLimiter> make_rate_limiter(Redis& redis, const ipc::Clock& clock,
                                               const RateLimitOptions& options, Log& log)
{
    return std::make_unique<RedisRateLimiter>(redis, clock, options, log);
}

} // namespace cluster::app
