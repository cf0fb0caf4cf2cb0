#include "app/queue/redis_queue.hpp"

#include "app/base/ids.hpp"
#include "app/queue/chance.hpp"
#include "app/queue/replies.hpp"
#include "app/queue/rules.hpp"
#include "app/queue/scripts.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

/// Holds of lost workers are looked for at least so often.
constexpr milliseconds kLookAgain{1000};

} // namespace

asio::awaitable<Result<std::string>> RedisQueue::add(NewQueueJob job)
{
    if (auto sound = check(job); !sound) co_return std::unexpected(sound.error());
    if (job.id.empty()) job.id = new_id(clock_.wall_ms());
    std::vector<std::string> args{job.id,
                                  job.name,
                                  std::move(job.payload),
                                  std::string{name_of(job.priority)},
                                  std::to_string(job.retry.attempts),
                                  std::to_string(job.retry.backoff.count()),
                                  std::to_string(job.delay.count())};
    auto adding = flag(queue_scripts::add(), job.queue, std::move(args));
    const auto added = co_await std::move(adding);
    if (!added) co_return std::unexpected(added.error());
    co_return std::move(job.id);
}

asio::awaitable<Result<std::optional<QueueJob>>> RedisQueue::take(std::string queue,
                                                                  milliseconds wait)
{
    const milliseconds end = clock_.now() + wait;
    const std::string base = queue_scripts::base_key(queue);
    while (true) {
        const std::string hold = random_token(12);
        std::vector<std::string> keys{base};
        std::vector<std::string> args{worker_, hold, std::to_string(options_.hold.count()),
                                      std::to_string(options_.max_losses)};
        auto taking = redis_.script(queue_scripts::take(), std::move(keys), std::move(args));
        const auto reply = co_await std::move(taking);
        if (!reply) co_return std::unexpected(reply.error());
        auto taken = read_taken(*reply, queue, hold);
        if (!taken) co_return std::unexpected(taken.error());
        const milliseconds left = end - clock_.now();
        if (taken->job || left.count() <= 0) co_return std::move(taken->job);

        // Not less than 1: 0 would be for ever.
        const milliseconds block = std::max(
            std::min({left, kLookAgain, taken->due.value_or(kLookAgain)}), milliseconds{1});
        RedisCommand reading{"XREAD",  "COUNT", "1", "BLOCK", std::to_string(block.count()),
                             "STREAMS"};
        constexpr std::size_t kFirstKey = 6;
        for (const char* priority : {":high", ":normal", ":low"})
            reading.push_back(base + priority);
        for (const std::string& last : taken->last)
            reading.push_back(last);
        auto waiting = redis_.blocking(std::move(reading), block, kFirstKey);
        const auto woken = co_await std::move(waiting);
        if (!woken) co_return std::unexpected(woken.error());
    }
}

asio::awaitable<Result<bool>> RedisQueue::flag(const std::string& script, const std::string& queue,
                                               std::vector<std::string> args)
{
    std::vector<std::string> keys{queue_scripts::base_key(queue)};
    auto running = redis_.script(script, std::move(keys), std::move(args));
    const auto reply = co_await std::move(running);
    if (!reply) co_return std::unexpected(reply.error());
    co_return read_flag(*reply);
}

asio::awaitable<Result<bool>> RedisQueue::renew(const QueueJob& job, std::optional<int> percent)
{
    std::vector<std::string> args{job.id, job.hold,
                                  percent ? std::to_string(std::clamp(*percent, 0, 100)) : ""};
    return flag(queue_scripts::renew(), job.queue, std::move(args));
}

asio::awaitable<Result<bool>> RedisQueue::done(const QueueJob& job, std::string result)
{
    std::vector<std::string> args{job.id, job.hold, std::move(result),
                                  std::to_string(options_.keep_done.count())};
    return flag(queue_scripts::done(), job.queue, std::move(args));
}

asio::awaitable<Result<bool>> RedisQueue::fail(const QueueJob& job, std::string reason)
{
    const int failures = job.failures + 1;
    const milliseconds delay = is_last_failure(job.retry, failures)
                                   ? milliseconds{-1}
                                   : backoff_delay(job.retry, failures, chance());
    std::vector<std::string> args{job.id, job.hold, shortened(std::move(reason)),
                                  std::to_string(delay.count())};
    return flag(queue_scripts::fail(), job.queue, std::move(args));
}

asio::awaitable<Result<bool>> RedisQueue::give_back(const QueueJob& job)
{
    std::vector<std::string> args{job.id, job.hold};
    return flag(queue_scripts::give_back(), job.queue, std::move(args));
}

asio::awaitable<Result<std::optional<QueueJobInfo>>> RedisQueue::job(std::string queue,
                                                                     std::string id)
{
    RedisCommand command{"HGETALL", queue_scripts::job_key(queue, id)};
    auto calling = redis_.call(std::move(command));
    const auto reply = co_await std::move(calling);
    if (!reply) co_return std::unexpected(reply.error());
    co_return read_info(*reply);
}

asio::awaitable<Result<QueueCounts>> RedisQueue::counts(std::string queue)
{
    std::vector<std::string> keys{queue_scripts::base_key(queue)};
    auto running = redis_.script(queue_scripts::counts(), std::move(keys), {});
    const auto reply = co_await std::move(running);
    if (!reply) co_return std::unexpected(reply.error());
    co_return read_counts(*reply);
}

asio::awaitable<Result<std::vector<QueueJobInfo>>> RedisQueue::dead(std::string queue, int limit)
{
    std::vector<std::string> keys{queue_scripts::base_key(queue)};
    std::vector<std::string> args{std::to_string(std::max(limit, 1))};
    auto running = redis_.script(queue_scripts::dead(), std::move(keys), std::move(args));
    const auto reply = co_await std::move(running);
    if (!reply) co_return std::unexpected(reply.error());
    std::vector<QueueJobInfo> jobs;
    for (const RedisReply& item : reply->items) {
        auto info = read_info(item);
        if (!info) co_return std::unexpected(info.error());
        if (*info) jobs.push_back(std::move(**info));
    }
    co_return jobs;
}

asio::awaitable<Result<bool>> RedisQueue::retry(std::string queue, std::string id)
{
    std::vector<std::string> args{std::move(id)};
    auto running = flag(queue_scripts::retry(), queue, std::move(args));
    co_return co_await std::move(running);
}

asio::awaitable<Result<bool>> RedisQueue::remove(std::string queue, std::string id)
{
    std::vector<std::string> args{std::move(id)};
    auto running = flag(queue_scripts::remove(), queue, std::move(args));
    co_return co_await std::move(running);
}

} // namespace cluster::app
