#include "app/redis/link.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{2000};
/// A server that accepts and hangs up must not be called without a pause: after a connection that
/// ends sooner, and on which nothing came, the next one is made at once only once in this time.
constexpr milliseconds kGoodLife{1000};
/// The same trouble is told again after this time.
constexpr std::chrono::seconds kTellAgain{60};

} // namespace

milliseconds reconnect_pause(int attempt, double chance)
{
    const auto whole = std::min(kFirstPause * (1 << std::clamp(attempt - 1, 0, 10)), kLongestPause);
    return milliseconds{
        static_cast<milliseconds::rep>(static_cast<double>(whole.count()) * (0.5 + chance / 2))};
}

FindServer always(RedisAddress address)
{
    // Not a capturing coroutine: the address is a parameter, so that it lives in the frame.
    return [address = std::move(address)] {
        auto give = [](RedisAddress given) -> asio::awaitable<Result<RedisAddress>> {
            co_return given;
        };
        return give(address);
    };
}

Link::Link(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find, Hooks hooks)
    : world_{std::move(world)}, purpose_{std::move(purpose)}, find_{std::move(find)},
      hooks_{std::move(hooks)}, pause_{world_->io}
{
}

void Link::start()
{
    connect();
}

void Link::stop()
{
    stopped_ = true;
    pause_.cancel();
    if (connection_) connection_->end("closed");
}

void Link::send(const RedisCommand& command, Answered answered)
{
    const bool held = connection_ && !connection_->ended();
    if (held && (connection_->ready() || attempts_ == 0))
        return connection_->send(command, std::move(answered), world_->options.command_timeout);
    RedisFigures::add(world_->figures.errors);
    const std::string why = stopped_ ? "closed" : told_.empty() ? "not connected" : told_;
    asio::post(world_->io, [answered = std::move(answered), why]() mutable {
        answered(trouble(Trouble::unavailable, why));
    });
}

void Link::renew(const std::string& why)
{
    if (stopped_) return;
    if (connection_ && !connection_->ended()) connection_->end(why);
    attempts_ = 0;
    connect();
}

void Link::reject(const std::string& why)
{
    if (stopped_ || !connection_ || connection_->ended()) return;
    connection_->end(why);
    lost(ipc::Error{.code = make_error_code(Trouble::unavailable), .what = why});
}

bool Link::settled() const
{
    return up() && SteadyClock::now() - ready_since_ > kGoodLife;
}

void Link::connect()
{
    if (stopped_) return;
    pause_.cancel();
    const auto weak = weak_from_this();
    auto made = std::make_shared<Connection>(world_, purpose_, find_);
    // Each event says whose it is: one of an older connection comes too late to matter.
    const auto current = [weak](const std::weak_ptr<Connection>& whose) {
        const auto self = weak.lock();
        return self && !self->stopped_ && self->connection_ == whose.lock() ? self : nullptr;
    };
    const std::weak_ptr<Connection> whose = made;
    made->listen({.ready =
                      [current, whose] {
                          if (const auto self = current(whose)) self->became_ready(whose.lock());
                      },
                  .ended =
                      [current, whose](const ipc::Error& why) {
                          if (const auto self = current(whose)) self->lost(why);
                      },
                  .message =
                      [current, whose](RedisReply reply) {
                          const auto self = current(whose);
                          if (self && self->hooks_.message) self->hooks_.message(std::move(reply));
                      }});
    connection_ = std::move(made);
    connection_->open();
}

void Link::became_ready(const std::shared_ptr<Connection>& connection)
{
    ready_since_ = SteadyClock::now();
    const std::string address = connection->address().text();
    if (ever_up_) RedisFigures::add(world_->figures.reconnects);
    if (!ever_up_ || lost_before_)
        world_->log.info(ever_up_ ? "Redis connection is back" : "Redis connected",
                         {{"server", address}, {"for", purpose_.label}});
    ever_up_ = true;
    lost_before_ = false;
    told_.clear();
    if (hooks_.ready) hooks_.ready(*connection);
}

void Link::lost(const ipc::Error& why)
{
    const auto now = SteadyClock::now();
    const bool was_ready = ready_since_ != SteadyClock::time_point{};
    const bool useful = now - ready_since_ > kGoodLife || now - renewed_at_ > kGoodLife ||
                        (connection_ && connection_->useful());
    const bool good = was_ready && useful;
    if (good) renewed_at_ = now;
    ready_since_ = {}; // the next one may never be ready
    attempts_ = good ? 0 : attempts_ + 1;
    tell(why);
    if (hooks_.down) hooks_.down();
    // The hook may have stopped or renewed us.
    if (stopped_ || !connection_ || !connection_->ended()) return;
    if (attempts_ == 0) return connect();
    pause();
}

/// One line when it goes, and again only for another reason or after a while.
void Link::tell(const ipc::Error& why)
{
    const auto now = SteadyClock::now();
    if (why.what != told_ || now - told_at_ > kTellAgain) {
        world_->log.warn("Redis connection lost",
                         {{"for", purpose_.label}, {"error", why.what}, {"attempt", attempts_}});
        told_at_ = now;
    }
    told_ = why.what;
    lost_before_ = true;
}

void Link::pause()
{
    const double chance = std::uniform_real_distribution<double>{0, 1}(world_->random);
    pause_.expires_after(reconnect_pause(attempts_, chance));
    pause_.async_wait([weak = weak_from_this()](const boost::system::error_code& code) {
        const auto self = weak.lock();
        // `renew` may have come between the timer and us.
        const bool held = self && self->connection_ && !self->connection_->ended();
        if (!code && self && !held) self->connect();
    });
}

} // namespace cluster::app
