// The queue as a table of an SQLite file. Blocking, so for one thread of a Pool; each function is
// one transaction, so that processes share the file. Time comes in: milliseconds since 1970, the
// one clock that all processes of a host have.
#pragma once

#include "app/queue/options.hpp"
#include "app/queue/queue.hpp"
#include "app/sqlite/database.hpp"

namespace cluster::app {

/// What `take` found: a job, or when to look again at the latest.
struct SqliteTaken {
    std::optional<QueueJob> job{};
    std::optional<std::int64_t> next_ms{}; ///< the first delayed job is due, or a hold runs out
};

class SqliteTable {
public:
    /// DATA_DIR/queue.db; makes the file and its tables where they are missing.
    [[nodiscard]] static Result<SqliteTable> open(const QueueOptions& options);

    /// false: there is one with this id already.
    Result<bool> add(const NewQueueJob& job, std::int64_t now_ms);
    /// `hold`: a name for this hold that was never given before.
    Result<SqliteTaken> take(const std::string& queue, const std::string& hold,
                             std::int64_t now_ms);

    // As in Queue; false: not held (any more) by `job.hold`.

    Result<bool> renew(const QueueJob& job, std::optional<int> percent, std::int64_t now_ms);
    Result<bool> done(const QueueJob& job, const std::string& result, std::int64_t now_ms);
    /// `again_ms`: when to try it again; nothing: it is dead.
    Result<bool> fail(const QueueJob& job, const std::string& reason,
                      std::optional<std::int64_t> again_ms, std::int64_t now_ms);
    Result<bool> give_back(const QueueJob& job);

    Result<std::optional<QueueJobInfo>> job(const std::string& queue, const std::string& id);
    Result<QueueCounts> counts(const std::string& queue);
    Result<std::vector<QueueJobInfo>> dead(const std::string& queue, int limit);
    Result<bool> retry(const std::string& queue, const std::string& id, std::int64_t now_ms);
    Result<bool> remove(const std::string& queue, const std::string& id);

private:
    SqliteTable(Database database, const QueueOptions& options)
        : database_{std::move(database)}, options_{options}
    {
    }
    Result<bool> has_work(const std::string& queue, std::int64_t now_ms);
    Result<std::optional<QueueJob>> take_next(const std::string& queue, const std::string& hold,
                                              std::int64_t now_ms);
    Result<std::optional<std::int64_t>> next_time(const std::string& queue);

    Database database_;
    QueueOptions options_;
};

} // namespace cluster::app
