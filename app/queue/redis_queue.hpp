// The queue of all hosts, in Redis (see scripts.hpp for how it lies there). Everything that changes
// something is one script. Who waits for work waits in XREAD for an entry that is newer than what
// the script saw, so nothing is missed, and nobody is given a job he does not know of.
#pragma once

#include "app/queue/options.hpp"
#include "app/queue/queue.hpp"
#include "app/redis/redis.hpp"
#include "ipc/base/clock.hpp"

namespace cluster::app {

class RedisQueue final : public Queue {
public:
    /// Both must outlive it. `worker`: the name of this process for people ("host:pid").
    RedisQueue(Redis& redis, const ipc::Clock& clock, std::string worker,
               const QueueOptions& options)
        : redis_{redis}, clock_{clock}, worker_{std::move(worker)}, options_{options}
    {
    }

    asio::awaitable<Result<std::string>> add(NewQueueJob job) override;
    asio::awaitable<Result<std::optional<QueueJob>>> take(std::string queue,
                                                          milliseconds wait) override;
    asio::awaitable<Result<bool>> renew(const QueueJob& job, std::optional<int> percent) override;
    asio::awaitable<Result<bool>> done(const QueueJob& job, std::string result) override;
    asio::awaitable<Result<bool>> fail(const QueueJob& job, std::string reason) override;
    asio::awaitable<Result<bool>> give_back(const QueueJob& job) override;
    asio::awaitable<Result<std::optional<QueueJobInfo>>> job(std::string queue,
                                                             std::string id) override;
    asio::awaitable<Result<QueueCounts>> counts(std::string queue) override;
    asio::awaitable<Result<std::vector<QueueJobInfo>>> dead(std::string queue, int limit) override;
    asio::awaitable<Result<bool>> retry(std::string queue, std::string id) override;
    asio::awaitable<Result<bool>> remove(std::string queue, std::string id) override;
    [[nodiscard]] std::string_view form() const override { return "redis streams"; }

private:
    asio::awaitable<Result<bool>> flag(const std::string& script, const std::string& queue,
                                       std::vector<std::string> args);

    Redis& redis_;
    const ipc::Clock& clock_;
    std::string worker_;
    QueueOptions options_;
};

} // namespace cluster::app
