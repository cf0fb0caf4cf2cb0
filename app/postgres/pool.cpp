#include "app/postgres/pool.hpp"

#include "app/base/completions.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

constexpr Backoff kReconnect{.first = milliseconds{100}, .most = milliseconds{2000}};
/// A server that has no connection left for us is asked again after so long.
constexpr milliseconds kFull{1000};

/// The server lives, but has no connection left for us. libpq gives no SQLSTATE for a log-in.
bool is_full(const PgFailure& failure)
{
    return failure.what.contains("too many") || failure.what.contains("remaining connection slots");
}

PgFailure unavailable(std::string what)
{
    return {.what = std::move(what)};
}

} // namespace

PgLease::PgLease(std::shared_ptr<PgPool> pool, std::unique_ptr<PgConnection> connection)
    : pool_{std::move(pool)}, connection_{std::move(connection)}
{
}

PgLease::~PgLease()
{
    if (connection_) pool_->take_back(std::move(connection_));
}

PgPool::Waiter::Waiter(PgPool& owner, PgUrgency urgency)
    : pool{owner}, timer{owner.io_, owner.options_.wait_limit}
{
    if (urgency == PgUrgency::first)
        pool.waiters_.push_front(this);
    else
        pool.waiters_.push_back(this);
}

PgPool::Waiter::~Waiter()
{
    std::erase(pool.waiters_, this);
    if (given) pool.take_back(std::move(given)); // he went away before he had it
}

PgPool::PgPool(asio::io_context& io, PgTarget target, PgPoolOptions options, Log& log,
               Welcome welcome)
    : io_{io}, target_{std::move(target)}, options_{std::move(options)}, log_{log},
      welcome_{std::move(welcome)}, keeper_{io}, empty_{io}, random_{std::random_device{}()}
{
}

double PgPool::chance()
{
    return std::uniform_real_distribution<double>{0, 1}(random_);
}

void PgPool::start()
{
    asio::co_spawn(io_, keep(shared_from_this()), rethrow);
}

/// Logs in whenever the server is away; sleeps while it is not.
asio::awaitable<void> PgPool::keep(std::shared_ptr<PgPool> self)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    int failures = 0;
    while (self->state_ != State::closed) {
        if (self->state_ == State::up) {
            failures = 0;
            self->keeper_.expires_at(asio::steady_timer::time_point::max()); // went_down, close
            co_await self->keeper_.async_wait(kAsValue);
            continue;
        }
        if (failures > 0) {
            self->keeper_.expires_after(kReconnect.wait(failures, self->chance()));
            co_await self->keeper_.async_wait(kAsValue);
            if (self->state_ == State::up || self->state_ == State::closed) continue;
        }
        auto opened = co_await self->open_first();
        if (self->state_ == State::closed) co_return;
        if (opened) {
            ++self->open_;
            self->give(std::move(*opened));
        } else {
            ++failures;
            self->went_down(opened.error());
        }
    }
}

asio::awaitable<PgPool::Opened> PgPool::open_first()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto opened =
        co_await PgConnection::open(io_, target_, options_.login_limit, options_.query_limit);
    if (!opened || !welcome_) co_return opened;
    auto welcomed = co_await welcome_(**opened);
    if (!welcomed) co_return std::unexpected(std::move(welcomed.error()));
    co_return opened;
}

/// Opens one more.
asio::awaitable<void> PgPool::grow(std::shared_ptr<PgPool> self)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto log_in = [&self] {
        return PgConnection::open(self->io_, self->target_, self->options_.login_limit,
                                  self->options_.query_limit);
    };
    auto opened = co_await log_in();
    // The server goes on with others: what has ended this log-in says little of the next one.
    const bool of_this_one = !opened && opened.error().again && !is_full(opened.error());
    if (of_this_one && self->open_ > 0) opened = co_await log_in();
    --self->opening_;
    if (self->state_ == State::closed) co_return;
    if (opened) {
        ++self->open_;
        self->give(std::move(*opened));
        co_return;
    }
    if (!is_full(opened.error()) || self->open_ == 0) {
        self->went_down(opened.error());
        co_return;
    }
    // Those that we have go on; who waits gets one of them.
    self->full_until_ = PgConnection::Clock::now() + kFull;
    self->log_.warn("the database takes no more connections", {{"server", self->options_.label},
                                                               {"open", self->open_},
                                                               {"limit", self->options_.limit},
                                                               {"reason", opened.error().what}});
}

void PgPool::grow_if_needed()
{
    const bool wanted = waiters_.size() > static_cast<std::size_t>(opening_);
    if (state_ != State::up || !wanted || open_ + opening_ >= options_.limit) return;
    if (open_ > 0 && PgConnection::Clock::now() < full_until_) return;
    ++opening_;
    asio::co_spawn(io_, grow(shared_from_this()), rethrow);
}

std::unique_ptr<PgConnection> PgPool::take_idle()
{
    while (!idle_.empty()) {
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        if (connection->reusable()) return connection;
        drop(std::move(connection));
    }
    return nullptr;
}

asio::awaitable<PgResult<PgLease>> PgPool::acquire(PgUrgency urgency)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    if (state_ == State::down) co_return std::unexpected(reason_);
    if (state_ == State::closed) co_return std::unexpected(unavailable("the store is closed"));
    if (waiters_.empty())
        if (auto connection = take_idle())
            co_return PgLease{shared_from_this(), std::move(connection)};
    if (urgency == PgUrgency::usual &&
        waiters_.size() >= static_cast<std::size_t>(options_.max_waiting))
        co_return std::unexpected(PgFailure{
            .kind = Trouble::overloaded,
            .what = fmt::format("{}: {} wait for a connection", options_.label, waiters_.size())});

    const auto self = shared_from_this(); // for the waiter's way out
    Waiter waiter{*this, urgency};
    grow_if_needed();
    co_await waiter.timer.async_wait(kAsValue); // `give` and `fail_waiters` end it early
    if (waiter.given) co_return PgLease{self, std::move(waiter.given)};
    if (waiter.failed) co_return std::unexpected(std::move(*waiter.failed));
    co_return std::unexpected(
        PgFailure{.kind = Trouble::overloaded,
                  .what = fmt::format("{}: all {} connections were busy for {} ms", options_.label,
                                      options_.limit, options_.wait_limit.count())});
}

asio::awaitable<PgResult<std::vector<PgRows>>> PgPool::run(std::vector<PgCall> calls,
                                                           PgEffect effect)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto lease = co_await acquire();
    if (!lease) co_return std::unexpected(std::move(lease.error()));
    auto& connection = **lease;
    co_return co_await connection.run(std::move(calls), effect, options_.query_limit);
}

asio::awaitable<PgResult<std::vector<PgRows>>> PgPool::ask(const PgStatement& question,
                                                           milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto lease = co_await acquire(PgUrgency::first);
    if (!lease) co_return std::unexpected(std::move(lease.error()));
    std::vector<PgCall> calls(1, PgCall{.statement = &question});
    auto& connection = **lease;
    co_return co_await connection.run(std::move(calls), PgEffect::none, limit);
}

/// To who waits longest, or to rest.
void PgPool::give(std::unique_ptr<PgConnection> connection)
{
    if (state_ != State::up) came_up();
    if (waiters_.empty()) {
        idle_.push_back(std::move(connection));
        return;
    }
    Waiter& first = *waiters_.front();
    waiters_.pop_front();
    first.given = std::move(connection);
    first.timer.cancel();
    grow_if_needed();
}

void PgPool::take_back(std::unique_ptr<PgConnection> connection)
{
    const bool useful = state_ == State::up || state_ == State::opening;
    if (useful && connection->reusable())
        give(std::move(connection));
    else
        drop(std::move(connection));
}

void PgPool::drop(std::unique_ptr<PgConnection> connection)
{
    connection.reset();
    --open_;
    if (state_ == State::closed && open_ == 0) empty_.cancel();
    grow_if_needed();
}

void PgPool::came_up()
{
    const bool was_down = state_ == State::down;
    state_ = State::up;
    keeper_.cancel();
    if (!was_down) {
        log_.info("connected to the database",
                  {{"server", options_.label}, {"at", target_.name()}});
        return;
    }
    const auto away =
        std::chrono::duration_cast<milliseconds>(PgConnection::Clock::now() - down_since_);
    log_.info("the database is back",
              {{"server", options_.label}, {"at", target_.name()}, {"away_ms", away.count()}});
}

void PgPool::went_down(const PgFailure& failure)
{
    if (state_ == State::closed) return;
    const bool news = state_ != State::down || failure.what != reason_.what;
    if (state_ != State::down) down_since_ = PgConnection::Clock::now();
    if (state_ == State::up) keeper_.cancel(); // it sleeps; while down it keeps its own pace
    state_ = State::down;
    reason_ = failure;
    // Whatever its reason, for the caller the server is away and nothing was changed.
    reason_.kind = Trouble::unavailable;
    reason_.again = false;
    if (news) {
        const std::string at = target_.name();
        log_.warn("the database is away",
                  {{"server", options_.label}, {"at", at}, {"reason", failure.what}});
    }
    while (!idle_.empty()) {
        idle_.pop_back();
        --open_;
    }
    fail_waiters(reason_);
}

void PgPool::fail_waiters(const PgFailure& failure)
{
    for (Waiter* const waiter : std::exchange(waiters_, {})) {
        waiter->failed = failure;
        waiter->timer.cancel();
    }
}

asio::awaitable<void> PgPool::close(milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto self = shared_from_this();
    state_ = State::closed;
    fail_waiters(unavailable("the store is closed"));
    keeper_.cancel();
    empty_.expires_after(limit);
    while (!idle_.empty()) {
        idle_.pop_back();
        --open_;
    }
    if (open_ > 0) co_await empty_.async_wait(kAsValue);
}

} // namespace cluster::app
