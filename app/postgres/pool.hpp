// The connections to one server: at most `limit`, opened as they are needed, kept, and lent to one
// coroutine at a time. Who finds none free waits in one queue, first come, first served.
//
//   opening ──logged in──▶ up ──connection refused──▶ down ──logged in──▶ up
//      └──failed──▶ down
//
// While it is down nobody waits: `acquire` fails at once, and one coroutine (`keep`) tries to log
// in again, less and less often. All on the loop's one thread; owned by shared_ptr, because a lease
// that is still out when the store goes must find where to return to.
#pragma once

#include "app/base/log.hpp"
#include "app/postgres/backoff.hpp"
#include "app/postgres/connection.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace cluster::app {

struct PgPoolOptions {
    std::string label; ///< "primary", "replica db2:5432": for logs and figures
    int limit = 10;
    int max_waiting = 1000;
    milliseconds wait_limit{10'000};  ///< for a free connection
    milliseconds login_limit{5'000};  ///< for a new connection
    milliseconds query_limit{10'000}; ///< for one round trip
};

class PgPool;

/// `first` is for questions about the server itself: a full queue must not look like a dead server.
enum class PgUrgency { usual, first };

/// A connection for as long as one needs it; goes back by itself.
class PgLease {
public:
    PgLease(std::shared_ptr<PgPool> pool, std::unique_ptr<PgConnection> connection);
    ~PgLease();
    PgLease(PgLease&&) noexcept = default;
    PgLease& operator=(PgLease&&) = delete;

    PgConnection* operator->() const { return connection_.get(); }
    PgConnection& operator*() const { return *connection_; }

private:
    std::shared_ptr<PgPool> pool_;
    std::unique_ptr<PgConnection> connection_;
};

class PgPool : public std::enable_shared_from_this<PgPool> {
public:
    /// Done with the first connection after each time that the server was away, before anybody else
    /// gets one. A failure counts as if the server were away.
    using Welcome = std::function<asio::awaitable<PgResult<void>>(PgConnection& connection)>;

    /// `io` and `log` outlive it.
    PgPool(asio::io_context& io, PgTarget target, PgPoolOptions options, Log& log, Welcome welcome);

    /// Begins to log in.
    void start();

    /// Errors: unavailable (the server is away), overloaded (too many wait, or for too long).
    asio::awaitable<PgResult<PgLease>> acquire(PgUrgency urgency = PgUrgency::usual);

    /// One round trip on a connection of its own choice.
    asio::awaitable<PgResult<std::vector<PgRows>>> run(std::vector<PgCall> calls, PgEffect effect);
    /// One short question about the server itself, ahead of the queue.
    asio::awaitable<PgResult<std::vector<PgRows>>> ask(const PgStatement& question,
                                                       milliseconds limit);

    /// Waits for the leases that are out, at most `limit`, and closes all.
    asio::awaitable<void> close(milliseconds limit);

    [[nodiscard]] bool up() const { return state_ == State::up; }
    [[nodiscard]] const PgPoolOptions& options() const { return options_; }
    [[nodiscard]] int connections() const { return open_; }
    [[nodiscard]] int busy() const { return open_ - static_cast<int>(idle_.size()); }
    [[nodiscard]] int waiting() const { return static_cast<int>(waiters_.size()); }

private:
    friend class PgLease;
    enum class State { opening, up, down, closed };
    using Opened = PgResult<std::unique_ptr<PgConnection>>;

    /// Somebody in the queue; lives in the frame of his `acquire`.
    struct Waiter {
        Waiter(PgPool& owner, PgUrgency urgency);
        ~Waiter();
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;

        PgPool& pool;
        asio::steady_timer timer;
        std::unique_ptr<PgConnection> given;
        std::optional<PgFailure> failed;
    };

    static asio::awaitable<void> keep(std::shared_ptr<PgPool> self);
    static asio::awaitable<void> grow(std::shared_ptr<PgPool> self);
    asio::awaitable<Opened> open_first();
    void grow_if_needed();
    [[nodiscard]] std::unique_ptr<PgConnection> take_idle();
    void give(std::unique_ptr<PgConnection> connection);
    void take_back(std::unique_ptr<PgConnection> connection);
    void drop(std::unique_ptr<PgConnection> connection);
    void came_up();
    void went_down(const PgFailure& failure);
    void fail_waiters(const PgFailure& failure);
    [[nodiscard]] double chance();

    asio::io_context& io_;
    PgTarget target_;
    PgPoolOptions options_;
    Log& log_;
    Welcome welcome_;

    State state_ = State::opening;
    PgFailure reason_;                             ///< why it is down
    int open_ = 0;                                 ///< connections, lent ones too
    int opening_ = 0;                              ///< `grow` under way
    PgConnection::Clock::time_point full_until_{}; ///< the server takes no more of them
    PgConnection::Clock::time_point down_since_{};
    std::vector<std::unique_ptr<PgConnection>> idle_; ///< the last used at the end
    std::deque<Waiter*> waiters_;
    asio::steady_timer keeper_; ///< wakes `keep`
    asio::steady_timer empty_;  ///< wakes `close`
    std::minstd_rand random_;
};

} // namespace cluster::app
