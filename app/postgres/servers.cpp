#include "app/postgres/servers.hpp"

#include "app/base/completions.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <utility>

namespace cluster::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kReadsAgain = 2; ///< in all as often as a transaction is tried (retry.hpp)
/// A replica in use is measured so often; what was found counts for a little longer, so that the
/// next measurement has time to end.
constexpr milliseconds kMeasureEach{1000};
constexpr milliseconds kKnownFor{3000};
/// For one question of a measurement: its answer is worth little when it comes late.
constexpr milliseconds kMeasureLimit{1000};

constexpr PgStatement kPrimaryEnd{"primary_end",
                                  "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"};
constexpr PgStatement kReplicaEnd{
    "replica_end",
    "SELECT pg_is_in_recovery(), pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint, "
    // Its own opinion, for when the primary is away.
    "CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 ELSE extract(epoch "
    "FROM clock_timestamp() - pg_last_xact_replay_timestamp())::bigint * 1000 END"};

} // namespace

PgServers::PgServers(std::shared_ptr<PgPool> primary, std::vector<std::shared_ptr<PgPool>> replicas,
                     milliseconds max_lag, asio::io_context& io, Log& log)
    : primary_{std::move(primary)}, max_lag_{max_lag}, io_{io}, log_{log}
{
    for (auto& pool : replicas) {
        replicas_.push_back(std::make_unique<Replica>());
        replicas_.back()->pool = std::move(pool);
    }
}

void PgServers::start()
{
    primary_->start();
    for (const auto& replica : replicas_)
        replica->pool->start();
}

asio::awaitable<void> PgServers::close(milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto self = shared_from_this();
    const Time until = Clock::now() + limit;
    co_await primary_->close(limit);
    for (const auto& replica : replicas_) {
        const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
        co_await replica->pool->close(std::max(left, milliseconds::zero()));
    }
}

std::vector<PgServers::Standing> PgServers::standings() const
{
    std::vector<Standing> all{{.pool = primary_.get(), .usable = primary_->up()}};
    for (const auto& replica : replicas_)
        all.push_back(
            {.pool = replica->pool.get(), .usable = replica->pool->up() && !replica->behind});
    return all;
}

bool PgServers::usable(const Replica& replica, Time now) const
{
    return replica.pool->up() && now - replica.known < kKnownFor;
}

/// The next replica in turn that will do. Those whose figure is old are measured: while nobody asks
/// for reads, nobody measures.
PgServers::Replica* PgServers::pick()
{
    const Time now = Clock::now();
    Replica* found = nullptr;
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
        Replica& replica = *replicas_[(turn_ + i) % replicas_.size()];
        if (!replica.measuring && replica.pool->up() && now - replica.asked >= kMeasureEach) {
            replica.asked = now;
            replica.measuring = true;
            asio::co_spawn(io_, measure(shared_from_this(), replica), rethrow);
        }
        if (found == nullptr && usable(replica, now)) found = &replica;
    }
    ++turn_;
    return found;
}

asio::awaitable<PgResult<std::vector<PgRows>>> PgServers::read(std::vector<PgCall> calls,
                                                               bool replica_will_do)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto self = shared_from_this();
    if (Replica* const replica = replica_will_do ? pick() : nullptr) {
        auto rows = co_await replica->pool->run(calls, PgEffect::none);
        if (rows || rows.error().kind == Trouble::overloaded) co_return rows;
        // Cancelled by what it replays, stopped, or worse: not before it is measured again.
        replica->known = {};
    }
    auto rows = co_await primary_->run(calls, PgEffect::none);
    // A connection that broke says little of the server: again on another one, which may have been
    // ended at the same time.
    for (int more = kReadsAgain; more > 0 && !rows && rows.error().again; --more)
        rows = co_await primary_->run(calls, PgEffect::none);
    co_return rows;
}

asio::awaitable<void> PgServers::measure(std::shared_ptr<PgServers> self, Replica& replica)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto lag = co_await self->lag_of(*replica.pool);
    replica.measuring = false;
    self->note_lag(replica, lag);
}

/// Nothing: it lags by more than can be told, or is no replica, or gives no answer.
asio::awaitable<std::optional<milliseconds>> PgServers::lag_of(PgPool& pool)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const bool primary_there = co_await ask_primary();
    const auto rows = co_await pool.ask(kReplicaEnd, kMeasureLimit);
    if (!rows) co_return std::nullopt;
    const PgRow row = rows->front().front();
    if (!row.flag(0)) co_return std::nullopt; // promoted: it goes its own way
    // Without a primary nobody writes, as far as we can see, and old data is better than none.
    if (!primary_there)
        co_return row.is_null(2) ? std::nullopt : std::optional{milliseconds{row.number(2)}};
    co_return meter_.behind(Clock::now(), row.number(1));
}

/// Where its log ends; for all replicas together once in `kMeasureEach`. False: it is away.
asio::awaitable<bool> PgServers::ask_primary()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const Time now = Clock::now();
    if (now - primary_asked_ < kMeasureEach / 2) co_return true;
    if (!primary_->up()) co_return false;
    const auto rows = co_await primary_->ask(kPrimaryEnd, kMeasureLimit);
    if (!rows) co_return false;
    primary_asked_ = now;
    meter_.note_primary(now, rows->front().front().number(0));
    co_return true;
}

void PgServers::note_lag(Replica& replica, std::optional<milliseconds> lag)
{
    const bool behind = !lag || *lag > max_lag_;
    replica.known = behind ? Time{} : Clock::now();
    if (behind == replica.behind) return;
    replica.behind = behind;
    const auto& label = replica.pool->options().label;
    if (behind)
        log_.warn("a replica is not used: it lags too much or gives no answer",
                  {{"server", label}, {"lag_ms", lag ? lag->count() : -1}});
    else
        log_.info("a replica is used again", {{"server", label}});
}

} // namespace cluster::app
