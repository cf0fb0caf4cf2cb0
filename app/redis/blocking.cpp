#include "app/redis/blocking.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

/// More than any sensible number of workers in one process.
constexpr std::size_t kMaxBusy = 256;

/// Ends a connection that nobody has let go of properly: its caller failed or was cancelled.
class Hold {
public:
    explicit Hold(std::shared_ptr<Connection> connection) : connection_{std::move(connection)} {}
    ~Hold()
    {
        if (connection_) connection_->end("its call is over");
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    [[nodiscard]] std::shared_ptr<Connection> release() { return std::exchange(connection_, {}); }

private:
    std::shared_ptr<Connection> connection_;
};

} // namespace

BlockingPool::BlockingPool(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find)
    : world_{std::move(world)}, purpose_{std::move(purpose)}, find_{std::move(find)}
{
    purpose_.waits = true;
}

BlockingPool::~BlockingPool()
{
    *alive_ = false;
    end("closed");
}

std::shared_ptr<Connection> BlockingPool::take()
{
    std::erase_if(idle_, [](const auto& one) { return !one->ready(); });
    std::erase_if(busy_, [](const auto& one) {
        const auto kept = one.lock();
        return !kept || kept->ended();
    });
    std::shared_ptr<Connection> taken;
    if (!idle_.empty()) {
        taken = std::move(idle_.back());
        idle_.pop_back();
    } else {
        taken = std::make_shared<Connection>(world_, purpose_, find_);
        taken->open();
    }
    busy_.push_back(taken);
    return taken;
}

asio::awaitable<Result<RedisReply>> BlockingPool::run(RedisCommand command, milliseconds limit,
                                                      bool asking)
{
    const auto alive = alive_; // the pool may be gone when the answer comes
    if (busy_.size() >= kMaxBusy)
        static_cast<void>(std::erase_if(busy_, [](const auto& one) { return one.expired(); }));
    if (busy_.size() >= kMaxBusy)
        co_return trouble(Trouble::overloaded, "redis: too many blocking calls");
    const auto connection = take();
    Hold hold{connection};
    if (asking)
        connection->send(
            {"ASKING"}, [](const Result<RedisReply>&) {}, world_->options.command_timeout);
    auto call = request(connection, std::move(command),
                        limit + world_->options.connect_timeout + world_->options.command_timeout);
    auto reply = co_await std::move(call);
    if (!*alive) co_return reply;
    std::erase_if(busy_, [&](const auto& one) { return one.lock() == connection; });
    // READONLY: it is a replica by now, and the next call must find the master.
    const bool good = reply || kind_of(reply.error()) == Trouble::refused;
    if (good && connection->ready() && connection->quiet()) idle_.push_back(hold.release());
    co_return reply;
}

void BlockingPool::end(const std::string& why)
{
    for (const auto& one : std::exchange(idle_, {}))
        one->end(why);
    for (const auto& one : std::exchange(busy_, {}))
        if (const auto kept = one.lock()) kept->end(why);
}

} // namespace cluster::app
