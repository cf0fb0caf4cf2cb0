// The store in one SQLite file that all instances of a host share: DATA_DIR/app.db, in WAL mode.
// Two connections, each used by one thread of its own: one for what changes something (it may wait
// for the writer of another process), one for what only reads (WAL: it never waits for a writer).
//
// The functions of the store are called from the loop; what they hand to `read` and `write` runs on
// those threads and touches nothing but its Database and its own copies.
#pragma once

#include "app/base/log.hpp"
#include "app/base/pool.hpp"
#include "app/sqlite/database.hpp"
#include "app/store/operations.hpp"
#include "app/store/store.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace cluster::app {

/// Brings the file to the newest version of the tables: once, whichever process comes first.
/// Errors: refused when a newer version of this program wrote it.
[[nodiscard]] Result<void> migrate_sqlite(Database& database);

class SqliteStore final : public Store {
public:
    /// Makes `folder` (0700) and the file in it when they are missing. Errors name the path.
    [[nodiscard]] static Result<std::unique_ptr<Store>>
    open(asio::io_context& io, const std::string& folder, Metrics& metrics);

    SqliteStore(asio::io_context& io, Database writer, Database reader, Metrics& metrics);

    Task<void> create_user(Credentials credentials) override;
    Task<std::optional<Credentials>> credentials(std::string email) override;
    Task<std::optional<User>> user(std::string id, ReadFrom from) override;
    Task<void> add_refresh_token(RefreshToken token) override;
    Task<Rotation> rotate_refresh_token(std::string old_hash, std::string new_hash,
                                        std::int64_t expires_ms, std::int64_t now_ms) override;
    Task<void> end_session(std::string session_id) override;

    Task<Page<Job>> jobs(JobQuery query, ReadFrom from) override;
    Task<std::optional<Job>> job(std::string id, ReadFrom from) override;
    Task<void> create_job(Job job) override;
    Task<Applied> apply(Application application) override;
    Task<std::vector<Application>> applications_of(std::string user_id, ReadFrom from) override;

    Task<Page<Project>> projects(std::string user_id, int page, int limit, ReadFrom from) override;
    Task<std::optional<std::pair<Project, Access>>> project(std::string id, std::string user_id,
                                                            ReadFrom from) override;
    Task<void> create_project(Project project) override;
    Task<bool> update_project(Project project) override;
    Task<bool> remove_project(std::string id) override;
    Task<std::vector<Collaborator>> collaborators(std::string project_id, ReadFrom from) override;
    Task<bool> set_collaborator(std::string project_id, std::string user_id, std::string role,
                                std::int64_t now_ms) override;
    Task<bool> remove_collaborator(std::string project_id, std::string user_id) override;

    Task<void> ping() override;
    [[nodiscard]] std::vector<StoreState> state() const override;
    [[nodiscard]] bool has_replicas() const override { return false; }
    [[nodiscard]] std::string_view form() const override { return "sqlite"; }
    asio::awaitable<void> close() override;

private:
    /// A write that has waited for so long is not begun.
    static constexpr std::chrono::milliseconds kMaxQueued{5000};

    template <class Work>
    using Outcome = std::invoke_result_t<Work, Database&>;

    /// Runs `work(Database&)` in a transaction on the writer's thread.
    template <class Work>
    asio::awaitable<Outcome<Work>> write(Operation operation, Work work)
    {
        auto task = [this, work = std::move(work),
                     until = std::chrono::steady_clock::now() + kMaxQueued]() -> Outcome<Work> {
            // Somebody holds the file for long, and all before us have waited for him in vain.
            if (std::chrono::steady_clock::now() > until)
                return trouble(Trouble::overloaded, "sqlite: others write for too long");
            return writer_.transaction([&] { return work(writer_); });
        };
        auto running = measured(operation, write_pool_, std::move(task));
        co_return co_await std::move(running);
    }

    /// Runs `work(Database&)`, which changes nothing, on the reader's thread.
    template <class Work>
    asio::awaitable<Outcome<Work>> read(Operation operation, Work work)
    {
        auto task = [this, work = std::move(work)] { return work(reader_); };
        auto running = measured(operation, read_pool_, std::move(task));
        co_return co_await std::move(running);
    }

    template <class Task>
    asio::awaitable<std::invoke_result_t<Task>> measured(Operation operation, Pool& pool, Task task)
    {
        const auto began = std::chrono::steady_clock::now();
        auto running = pool.run(std::move(task));
        auto outcome = co_await std::move(running);
        metrics_.note(operation, began, outcome);
        up_ = outcome || kind_of(outcome.error()) != Trouble::unavailable;
        co_return outcome;
    }

    asio::io_context& io_;
    OperationMetrics metrics_;
    bool up_ = true; ///< the last call found a file that works
    Database writer_;
    Database reader_;
    Pool write_pool_; ///< after what its thread uses: it ends before them
    Pool read_pool_;
};

} // namespace cluster::app
