// The primary and its replicas: who is asked what. A replica gets reads only, and only while it is
// known to lag little; who asked is never told when one fails, because the primary is asked then.
#pragma once

#include "app/postgres/lag.hpp"
#include "app/postgres/pool.hpp"

#include <memory>
#include <vector>

namespace cluster::app {

class PgServers : public std::enable_shared_from_this<PgServers> {
public:
    PgServers(std::shared_ptr<PgPool> primary, std::vector<std::shared_ptr<PgPool>> replicas,
              milliseconds max_lag, asio::io_context& io, Log& log);

    void start();
    asio::awaitable<void> close(milliseconds limit);

    [[nodiscard]] PgPool& primary() { return *primary_; }
    [[nodiscard]] bool has_replicas() const { return !replicas_.empty(); }
    /// All pools, the primary's first; for each whether reads may go there now.
    struct Standing {
        const PgPool* pool;
        bool usable;
    };
    [[nodiscard]] std::vector<Standing> standings() const;

    /// A read in one round trip. With `replica_will_do` in turn on one of the replicas, on the
    /// primary when there is none to be had or it failed.
    asio::awaitable<PgResult<std::vector<PgRows>>> read(std::vector<PgCall> calls,
                                                        bool replica_will_do);

private:
    using Time = LagMeter::Time;

    struct Replica {
        std::shared_ptr<PgPool> pool;
        Time asked{}; ///< when the last measurement began
        Time known{}; ///< when it was known to lag little; long ago: it is not
        bool measuring = false;
        bool behind = false; ///< the last measurement said so; told in the log when it changes
    };

    [[nodiscard]] bool usable(const Replica& replica, Time now) const;
    Replica* pick();
    static asio::awaitable<void> measure(std::shared_ptr<PgServers> self, Replica& replica);
    asio::awaitable<std::optional<milliseconds>> lag_of(PgPool& pool);
    asio::awaitable<bool> ask_primary();
    void note_lag(Replica& replica, std::optional<milliseconds> lag);

    std::shared_ptr<PgPool> primary_;
    std::vector<std::unique_ptr<Replica>> replicas_; ///< never changes
    milliseconds max_lag_;
    asio::io_context& io_;
    Log& log_;
    LagMeter meter_;
    Time primary_asked_{};
    std::size_t turn_ = 0;
};

} // namespace cluster::app
