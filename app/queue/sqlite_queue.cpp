#include "app/queue/sqlite_queue.hpp"

#include "app/base/ids.hpp"
#include "app/queue/chance.hpp"
#include "app/queue/rules.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr milliseconds kLookAgain{200}; ///< other processes do not tell us
constexpr std::size_t kMaxWaiting = 10'000;

} // namespace

SqliteQueue::SqliteQueue(asio::io_context& io, const ipc::Clock& clock, SqliteTable table)
    : clock_{clock}, table_{std::move(table)}, pool_{io, "queue", 1, kMaxWaiting}
{
}

Result<std::unique_ptr<SqliteQueue>>
SqliteQueue::open(asio::io_context& io, const ipc::Clock& clock, const QueueOptions& options)
{
    auto table = SqliteTable::open(options);
    if (!table) return std::unexpected(table.error());
    return std::unique_ptr<SqliteQueue>{new SqliteQueue{io, clock, std::move(*table)}};
}

void SqliteQueue::wake()
{
    for (asio::steady_timer* timer : waiting_)
        timer->cancel();
}

asio::awaitable<Result<std::string>> SqliteQueue::add(NewQueueJob job)
{
    if (auto sound = check(job); !sound) co_return std::unexpected(sound.error());
    const std::int64_t now = clock_.wall_ms();
    if (job.id.empty()) job.id = new_id(now);
    auto adding = pool_.run([this, &job, now] { return table_.add(job, now); });
    const auto added = co_await std::move(adding);
    if (!added) co_return std::unexpected(added.error());
    if (*added) wake();
    co_return std::move(job.id);
}

asio::awaitable<Result<std::optional<QueueJob>>> SqliteQueue::take(std::string queue,
                                                                   milliseconds wait)
{
    const milliseconds end = clock_.now() + wait;
    while (true) {
        const std::int64_t now = clock_.wall_ms();
        const std::string hold = random_token(12);
        auto taking =
            pool_.run([this, &queue, &hold, now] { return table_.take(queue, hold, now); });
        auto taken = co_await std::move(taking);
        if (!taken) co_return std::unexpected(taken.error());
        const milliseconds left = end - clock_.now();
        if (taken->job || left.count() <= 0) co_return std::move(taken->job);

        milliseconds pause = std::min(left, kLookAgain);
        if (taken->next_ms)
            pause = std::clamp(milliseconds{*taken->next_ms - now}, milliseconds{1}, pause);
        asio::steady_timer timer{co_await asio::this_coro::executor, pause};
        waiting_.push_back(&timer);
        auto waiting = timer.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
        std::erase(waiting_, &timer);
    }
}

asio::awaitable<Result<bool>> SqliteQueue::renew(const QueueJob& job, std::optional<int> percent)
{
    const std::int64_t now = clock_.wall_ms();
    auto work = pool_.run([this, &job, percent, now] { return table_.renew(job, percent, now); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<bool>> SqliteQueue::done(const QueueJob& job, std::string result)
{
    const std::int64_t now = clock_.wall_ms();
    auto work = pool_.run([this, &job, &result, now] { return table_.done(job, result, now); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<bool>> SqliteQueue::fail(const QueueJob& job, std::string reason)
{
    const std::int64_t now = clock_.wall_ms();
    const int failures = job.failures + 1;
    std::optional<std::int64_t> again;
    if (!is_last_failure(job.retry, failures))
        again = now + backoff_delay(job.retry, failures, chance()).count();
    reason = shortened(std::move(reason));
    auto work = pool_.run(
        [this, &job, &reason, again, now] { return table_.fail(job, reason, again, now); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<bool>> SqliteQueue::give_back(const QueueJob& job)
{
    auto work = pool_.run([this, &job] { return table_.give_back(job); });
    const auto given = co_await std::move(work);
    if (given && *given) wake();
    co_return given;
}

asio::awaitable<Result<std::optional<QueueJobInfo>>> SqliteQueue::job(std::string queue,
                                                                      std::string id)
{
    auto work = pool_.run([this, &queue, &id] { return table_.job(queue, id); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<QueueCounts>> SqliteQueue::counts(std::string queue)
{
    auto work = pool_.run([this, &queue] { return table_.counts(queue); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<std::vector<QueueJobInfo>>> SqliteQueue::dead(std::string queue, int limit)
{
    auto work = pool_.run([this, &queue, limit] { return table_.dead(queue, limit); });
    co_return co_await std::move(work);
}

asio::awaitable<Result<bool>> SqliteQueue::retry(std::string queue, std::string id)
{
    const std::int64_t now = clock_.wall_ms();
    auto work = pool_.run([this, &queue, &id, now] { return table_.retry(queue, id, now); });
    const auto again = co_await std::move(work);
    if (again && *again) wake();
    co_return again;
}

asio::awaitable<Result<bool>> SqliteQueue::remove(std::string queue, std::string id)
{
    auto work = pool_.run([this, &queue, &id] { return table_.remove(queue, id); });
    co_return co_await std::move(work);
}

} // namespace cluster::app
