#include "app/queue/sqlite_table.hpp"

#include "app/queue/rules.hpp"

#include <algorithm>

namespace cluster::app {
namespace {

// `at_ms` is what the state has a time for: since when it waits, until when it is delayed or held,
// when it ended. One column, so that one index finds whatever is next.
constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS queue_jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    backoff_ms INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    hold TEXT NOT NULL DEFAULT '',
    progress INTEGER NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    UNIQUE (queue, id)
);
CREATE INDEX IF NOT EXISTS queue_jobs_next ON queue_jobs (queue, state, priority, at_ms, seq);
CREATE INDEX IF NOT EXISTS queue_jobs_time ON queue_jobs (queue, state, at_ms);
CREATE TABLE IF NOT EXISTS queue_totals (queue TEXT PRIMARY KEY, done INTEGER NOT NULL);
)";

constexpr std::string_view kInfo =
    "SELECT id, name, payload, state, failures, losses, progress, result, reason, created_ms,"
    " at_ms FROM queue_jobs ";

QueueJobInfo info_of(const SqlRow& row)
{
    const auto state = queue_state_of(row.text(3)).value_or(QueueState::waiting);
    const bool over = state == QueueState::done || state == QueueState::dead;
    return {.id = row.text(0),
            .name = row.text(1),
            .payload = row.text(2),
            .state = state,
            .failures = static_cast<int>(row.number(4)),
            .losses = static_cast<int>(row.number(5)),
            .progress = static_cast<int>(row.number(6)),
            .result = row.text(7),
            .reason = row.text(8),
            .created_ms = row.number(9),
            .finished_ms = over ? row.number(10) : 0};
}

/// Whether a statement that was to change one row did.
Result<bool> changed(const Result<std::int64_t>& rows)
{
    if (!rows) return std::unexpected(rows.error());
    return *rows > 0;
}

} // namespace

Result<SqliteTable> SqliteTable::open(const QueueOptions& options)
{
    auto database = Database::open(options.directory + "/queue.db", Durability::lasting);
    if (!database) return std::unexpected(database.error());
    if (auto made = database->script(kSchema); !made) return std::unexpected(made.error());
    return SqliteTable{std::move(*database), options};
}

Result<bool> SqliteTable::add(const NewQueueJob& job, std::int64_t now_ms)
{
    const bool delayed = job.delay.count() > 0;
    return changed(database_.run(
        "INSERT INTO queue_jobs (queue, id, name, payload, priority, state, at_ms, attempts,"
        " backoff_ms, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        " ON CONFLICT DO NOTHING",
        {job.queue, job.id, job.name, job.payload,
         std::int64_t{static_cast<std::int64_t>(job.priority)},
         name_of(delayed ? QueueState::delayed : QueueState::waiting), now_ms + job.delay.count(),
         std::int64_t{job.retry.attempts}, std::int64_t{job.retry.backoff.count()}, now_ms}));
}

Result<SqliteTaken> SqliteTable::take(const std::string& queue, const std::string& hold,
                                      std::int64_t now_ms)
{
    // Idle workers ask often: they look first, so that they keep no writer waiting.
    const auto work = has_work(queue, now_ms);
    if (!work) return std::unexpected(work.error());
    SqliteTaken taken;
    if (*work) {
        auto job = database_.transaction([&] { return take_next(queue, hold, now_ms); });
        if (!job) return std::unexpected(job.error());
        taken.job = std::move(*job);
        if (taken.job) return taken;
    }
    const auto next = next_time(queue);
    if (!next) return std::unexpected(next.error());
    taken.next_ms = *next;
    return taken;
}

Result<bool> SqliteTable::has_work(const std::string& queue, std::int64_t now_ms)
{
    const auto rows = database_.query(
        "SELECT EXISTS (SELECT 1 FROM queue_jobs WHERE queue = ?1 AND state = 'waiting')"
        " OR EXISTS (SELECT 1 FROM queue_jobs WHERE queue = ?1 AND state = 'delayed'"
        "            AND at_ms <= ?2)"
        " OR EXISTS (SELECT 1 FROM queue_jobs WHERE queue = ?1 AND state = 'active'"
        "            AND at_ms <= ?2)"
        " OR EXISTS (SELECT 1 FROM queue_jobs WHERE queue = ?1 AND state = 'done'"
        "            AND at_ms <= ?3)",
        {queue, now_ms, now_ms - options_.keep_done.count()});
    if (!rows) return std::unexpected(rows.error());
    return rows->front().number(0) != 0;
}

Result<std::optional<QueueJob>> SqliteTable::take_next(const std::string& queue,
                                                       const std::string& hold, std::int64_t now_ms)
{
    const auto due = database_.run("UPDATE queue_jobs SET state = 'waiting' WHERE queue = ?1"
                                   " AND state = 'delayed' AND at_ms <= ?2",
                                   {queue, now_ms});
    if (!due) return std::unexpected(due.error());
    const auto lost = database_.run(
        "UPDATE queue_jobs SET losses = losses + 1, hold = '',"
        " state = iif(losses + 1 > ?3, 'dead', 'waiting'),"
        " reason = iif(losses + 1 > ?3, 'it lost ' || (losses + 1) || ' workers', reason)"
        " WHERE queue = ?1 AND state = 'active' AND at_ms <= ?2",
        {queue, now_ms, std::int64_t{options_.max_losses}});
    if (!lost) return std::unexpected(lost.error());
    const auto old = database_.run(
        "DELETE FROM queue_jobs WHERE seq IN (SELECT seq FROM queue_jobs WHERE queue = ?1"
        " AND state = 'done' AND at_ms <= ?2 LIMIT 100)",
        {queue, now_ms - options_.keep_done.count()});
    if (!old) return std::unexpected(old.error());

    auto rows = database_.query(
        "UPDATE queue_jobs SET state = 'active', hold = ?2, at_ms = ?3, progress = 0"
        " WHERE seq = (SELECT seq FROM queue_jobs WHERE queue = ?1 AND state = 'waiting'"
        "              ORDER BY priority, at_ms, seq LIMIT 1)"
        " RETURNING id, name, payload, attempts, backoff_ms, failures, losses",
        {queue, hold, now_ms + options_.hold.count()});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return std::nullopt;
    const SqlRow& row = rows->front();
    return QueueJob{.queue = queue,
                    .id = row.text(0),
                    .name = row.text(1),
                    .payload = row.text(2),
                    .retry = {.attempts = static_cast<int>(row.number(3)),
                              .backoff = milliseconds{row.number(4)}},
                    .failures = static_cast<int>(row.number(5)),
                    .losses = static_cast<int>(row.number(6)),
                    .hold = hold};
}

Result<std::optional<std::int64_t>> SqliteTable::next_time(const std::string& queue)
{
    const auto rows = database_.query("SELECT min(at_ms) FROM queue_jobs WHERE queue = ?1"
                                      " AND state IN ('delayed', 'active')",
                                      {queue});
    if (!rows) return std::unexpected(rows.error());
    if (rows->front().is_null(0)) return std::nullopt;
    return rows->front().number(0);
}

Result<bool> SqliteTable::renew(const QueueJob& job, std::optional<int> percent,
                                std::int64_t now_ms)
{
    return changed(database_.run(
        "UPDATE queue_jobs SET at_ms = ?4, progress = coalesce(?5, progress)"
        " WHERE queue = ?1 AND id = ?2 AND hold = ?3 AND state = 'active'",
        {job.queue, job.id, job.hold, now_ms + options_.hold.count(),
         percent ? SqlValue{std::int64_t{std::clamp(*percent, 0, 100)}} : SqlValue{nullptr}}));
}

Result<bool> SqliteTable::done(const QueueJob& job, const std::string& result, std::int64_t now_ms)
{
    return database_.transaction([&]() -> Result<bool> {
        const auto ended = database_.run(
            "UPDATE queue_jobs SET state = 'done', at_ms = ?4, progress = 100, result = ?5,"
            " reason = '' WHERE queue = ?1 AND id = ?2 AND hold = ?3 AND state = 'active'",
            {job.queue, job.id, job.hold, now_ms, result});
        if (!ended) return std::unexpected(ended.error());
        if (*ended == 0) { // `hold` stays with what is done: a repetition finds it
            const auto before = database_.query("SELECT 1 FROM queue_jobs WHERE queue = ?1"
                                                " AND id = ?2 AND hold = ?3 AND state = 'done'",
                                                {job.queue, job.id, job.hold});
            if (!before) return std::unexpected(before.error());
            return !before->empty();
        }
        const auto counted = database_.run("INSERT INTO queue_totals (queue, done) VALUES (?1, 1)"
                                           " ON CONFLICT (queue) DO UPDATE SET done = done + 1",
                                           {job.queue});
        if (!counted) return std::unexpected(counted.error());
        return true;
    });
}

Result<bool> SqliteTable::fail(const QueueJob& job, const std::string& reason,
                               std::optional<std::int64_t> again_ms, std::int64_t now_ms)
{
    return changed(database_.run(
        "UPDATE queue_jobs SET failures = failures + 1, reason = ?4, hold = '', state = ?5,"
        " at_ms = ?6 WHERE queue = ?1 AND id = ?2 AND hold = ?3 AND state = 'active'",
        {job.queue, job.id, job.hold, reason,
         name_of(again_ms ? QueueState::delayed : QueueState::dead), again_ms.value_or(now_ms)}));
}

Result<bool> SqliteTable::give_back(const QueueJob& job)
{
    // at_ms 0: the first of its priority, for it was so before.
    return changed(database_.run("UPDATE queue_jobs SET state = 'waiting', hold = '', at_ms = 0"
                                 " WHERE queue = ?1 AND id = ?2 AND hold = ?3 AND state = 'active'",
                                 {job.queue, job.id, job.hold}));
}

Result<std::optional<QueueJobInfo>> SqliteTable::job(const std::string& queue,
                                                     const std::string& id)
{
    static const std::string kSql{std::string{kInfo} + "WHERE queue = ?1 AND id = ?2"};
    const auto rows = database_.query(kSql, {queue, id});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return std::nullopt;
    return info_of(rows->front());
}

Result<QueueCounts> SqliteTable::counts(const std::string& queue)
{
    const auto rows = database_.query(
        "SELECT state, count(*) FROM queue_jobs WHERE queue = ?1 AND state != 'done'"
        " GROUP BY state UNION ALL SELECT 'done', done FROM queue_totals WHERE queue = ?1",
        {queue});
    if (!rows) return std::unexpected(rows.error());
    QueueCounts counts;
    for (const SqlRow& row : *rows) {
        const auto state = queue_state_of(row.text(0));
        if (state == QueueState::waiting) counts.waiting = row.number(1);
        if (state == QueueState::delayed) counts.delayed = row.number(1);
        if (state == QueueState::active) counts.active = row.number(1);
        if (state == QueueState::dead) counts.dead = row.number(1);
        if (state == QueueState::done) counts.done = row.number(1);
    }
    return counts;
}

Result<std::vector<QueueJobInfo>> SqliteTable::dead(const std::string& queue, int limit)
{
    static const std::string kSql{std::string{kInfo} + "WHERE queue = ?1 AND state = 'dead'"
                                                       " ORDER BY at_ms DESC, seq DESC LIMIT ?2"};
    const auto rows = database_.query(kSql, {queue, std::int64_t{limit}});
    if (!rows) return std::unexpected(rows.error());
    std::vector<QueueJobInfo> jobs;
    std::ranges::transform(*rows, std::back_inserter(jobs), info_of);
    return jobs;
}

Result<bool> SqliteTable::retry(const std::string& queue, const std::string& id,
                                std::int64_t now_ms)
{
    return changed(database_.run("UPDATE queue_jobs SET state = 'waiting', failures = 0,"
                                 " losses = 0, at_ms = ?3, progress = 0"
                                 " WHERE queue = ?1 AND id = ?2 AND state = 'dead'",
                                 {queue, id, now_ms}));
}

Result<bool> SqliteTable::remove(const std::string& queue, const std::string& id)
{
    return changed(database_.run(
        "DELETE FROM queue_jobs WHERE queue = ?1 AND id = ?2 AND state != 'active'", {queue, id}));
}

} // namespace cluster::app
