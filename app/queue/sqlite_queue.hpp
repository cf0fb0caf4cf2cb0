// The queue of the processes of one host, in DATA_DIR/queue.db. Who waits for work looks every 200
// ms, at once when a job was added by the same process.
#pragma once

#include "app/base/pool.hpp"
#include "app/queue/sqlite_table.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <vector>

namespace cluster::app {

class SqliteQueue final : public Queue {
public:
    /// Both must outlive it. Errors: the file cannot be opened.
    [[nodiscard]] static Result<std::unique_ptr<SqliteQueue>>
    open(asio::io_context& io, const ipc::Clock& clock, const QueueOptions& options);
    ~SqliteQueue() override { pool_.stop(); }

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
    [[nodiscard]] std::string_view form() const override { return "embedded"; }

private:
    SqliteQueue(asio::io_context& io, const ipc::Clock& clock, SqliteTable table);
    void wake();

    const ipc::Clock& clock_;
    SqliteTable table_; ///< touched by the pool's one thread alone
    Pool pool_;
    std::vector<asio::steady_timer*> waiting_; ///< of those that wait for a job
};

} // namespace cluster::app
