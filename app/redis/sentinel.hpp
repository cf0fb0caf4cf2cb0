// Redis behind Sentinel: the sentinels say who the master is, and tell when that changes
// (redis.io/docs/reference/sentinel-clients).
#pragma once

#include "app/redis/one_server.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// The answer to SENTINEL get-master-addr-by-name; nothing when it does not know the master.
[[nodiscard]] std::optional<RedisAddress> parse_master(const RedisReply& reply);

/// A +switch-master message: "NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT". Nothing when it is about
/// another master.
[[nodiscard]] std::optional<RedisAddress> parse_switch(std::string_view message,
                                                       std::string_view master);

class SentinelRedis final : public OneServer {
public:
    explicit SentinelRedis(const std::shared_ptr<RedisWorld>& world);
    ~SentinelRedis() override;

    [[nodiscard]] std::string_view form() const override { return "redis-sentinel"; }
    void close() override;

private:
    /// Who asks. Outlives us while a look-up is under way.
    struct Sentinels : std::enable_shared_from_this<Sentinels> {
        std::shared_ptr<RedisWorld> world;
        std::vector<RedisAddress> nodes; ///< the one that answered last is the first
        std::size_t next_watched = 0;

        asio::awaitable<Result<RedisAddress>> find_master();
        asio::awaitable<Result<RedisAddress>> ask(RedisAddress node);
        [[nodiscard]] RedisPurpose purpose() const;
        [[nodiscard]] FindServer finder();
        [[nodiscard]] FindServer watched();
    };

    SentinelRedis(const std::shared_ptr<RedisWorld>& world, std::shared_ptr<Sentinels> sentinels);
    void watch();
    void check();
    void master_is(const RedisAddress& address);

    asio::io_context& io_;
    std::string master_;
    std::shared_ptr<Sentinels> sentinels_;
    std::unique_ptr<Subscription> watch_;
    std::shared_ptr<SentinelRedis*> self_ = std::make_shared<SentinelRedis*>(this); ///< null: gone
};

} // namespace cluster::app
