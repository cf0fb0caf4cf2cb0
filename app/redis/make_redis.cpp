#include "app/redis/make_redis.hpp"

#include "app/redis/cluster_redis.hpp"
#include "app/redis/one_server.hpp"
#include "app/redis/sentinel.hpp"

#include <utility>

namespace cluster::app {
namespace {

RedisFigures declare(Metrics& metrics)
{
    return {
        .commands = &metrics.counter("redis_commands_total", "Commands sent to Redis.", {}),
        .errors =
            &metrics.counter("redis_errors_total",
                             "Commands to Redis that were refused, timed out or were lost.", {}),
        .seconds = &metrics.histogram("redis_command_seconds",
                                      "From a command to its answer, without blocking ones.", {}),
        .reconnects = &metrics.counter("redis_reconnects_total",
                                       "Connections to Redis made again after a loss.", {})};
}

std::unique_ptr<Redis> make(std::shared_ptr<RedisWorld> world)
{
    using Form = RedisOptions::Form;
    if (world->options.form == Form::sentinel) return std::make_unique<SentinelRedis>(world);
    if (world->options.form == Form::cluster) return std::make_unique<ClusterRedis>(world);
    const RedisAddress address = world->options.address;
    return std::make_unique<OneServer>(std::move(world), RedisPurpose{}, always(address));
}

} // namespace

std::unique_ptr<Redis> make_redis(asio::io_context& io, const RedisOptions& options, Log& log,
                                  Metrics* metrics)
{
    const RedisFigures figures = metrics != nullptr ? declare(*metrics) : RedisFigures{};
    auto redis = make(std::make_shared<RedisWorld>(io, options, log, figures));
    if (metrics != nullptr) {
        Gauge& up = metrics->gauge("redis_up", "Whether Redis is connected: 1 or 0.", {});
        metrics->before_scrape([&up, &it = *redis] { up.set(it.up() ? 1 : 0); });
    }
    return redis;
}

asio::awaitable<Result<void>> ping(Redis& redis)
{
    RedisCommand command{"PING"};
    auto call = redis.call(std::move(command), 0);
    const auto reply = co_await std::move(call);
    if (!reply) co_return std::unexpected(reply.error());
    co_return Result<void>{};
}

} // namespace cluster::app
