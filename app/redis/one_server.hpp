// Redis as one server: a fixed one, or whoever the sentinels say is the master.
#pragma once

#include "app/redis/blocking.hpp"
#include "app/redis/calls.hpp"
#include "app/redis/link.hpp"
#include "app/redis/subscription.hpp"

#include <memory>
#include <string>
#include <vector>

namespace cluster::app {

class OneServer : public Redis {
public:
    OneServer(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find);
    ~OneServer() override;

    asio::awaitable<Result<RedisReply>> call(RedisCommand command, std::size_t key_at) override;
    asio::awaitable<std::vector<Result<RedisReply>>> pipeline(std::vector<RedisCommand> commands,
                                                              std::size_t key_at) override;
    asio::awaitable<Result<RedisReply>> script(std::string_view lua, std::vector<std::string> keys,
                                               std::vector<std::string> args) override;
    asio::awaitable<Result<RedisReply>> blocking(RedisCommand command, milliseconds limit,
                                                 std::size_t key_at) override;
    [[nodiscard]] std::unique_ptr<RedisSubscription> subscribe(RedisListener listener) override;
    [[nodiscard]] bool up() const override { return link_->up(); }
    [[nodiscard]] std::string_view form() const override { return "redis"; }
    void close() override;

protected:
    /// All connections anew: their server is not the right one (any more).
    void renew(const std::string& why);
    [[nodiscard]] const std::shared_ptr<Link>& link() const { return link_; }

private:
    /// What shows that the server is no master (any more).
    void look_at(const Result<RedisReply>& reply);

    std::shared_ptr<RedisWorld> world_;
    RedisPurpose purpose_;
    FindServer find_;
    std::shared_ptr<Link> link_;
    BlockingPool blocking_;
    ScriptNames scripts_;
    std::vector<std::weak_ptr<Link>> subscriptions_; ///< the links of those
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace cluster::app
