// Redis Cluster: a link to each master, a map of who has which slot, and calls that follow when a
// slot has moved. The map is asked for at the start, when a server sends us elsewhere, when one is
// lost, and now and then.
#pragma once

#include "app/redis/blocking.hpp"
#include "app/redis/calls.hpp"
#include "app/redis/link.hpp"
#include "app/redis/slots.hpp"
#include "app/redis/subscription.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::app {

class ClusterRedis final : public Redis {
public:
    explicit ClusterRedis(std::shared_ptr<RedisWorld> world);
    ~ClusterRedis() override;
    ClusterRedis(const ClusterRedis&) = delete;
    ClusterRedis& operator=(const ClusterRedis&) = delete;

    asio::awaitable<Result<RedisReply>> call(RedisCommand command, std::size_t key_at) override;
    asio::awaitable<std::vector<Result<RedisReply>>> pipeline(std::vector<RedisCommand> commands,
                                                              std::size_t key_at) override;
    asio::awaitable<Result<RedisReply>> script(std::string_view lua, std::vector<std::string> keys,
                                               std::vector<std::string> args) override;
    asio::awaitable<Result<RedisReply>> blocking(RedisCommand command, milliseconds limit,
                                                 std::size_t key_at) override;
    [[nodiscard]] std::unique_ptr<RedisSubscription> subscribe(RedisListener listener) override;
    [[nodiscard]] bool up() const override;
    [[nodiscard]] std::string_view form() const override { return "redis-cluster"; }
    void close() override;

private:
    using Outcome = Result<RedisReply>;
    struct Node {
        std::shared_ptr<Link> link;
        std::unique_ptr<BlockingPool> blocking;
    };
    /// Where a command goes next.
    struct Route {
        std::optional<std::uint16_t> slot{};   ///< none: any server
        std::optional<RedisAddress> address{}; ///< as a redirect said, instead of the map
        bool asking = false;
        bool pause = false; ///< before the next try
        int tries = 0;
    };

    [[nodiscard]] static Route route_of(const RedisCommand& command, std::size_t key_at);
    [[nodiscard]] std::optional<RedisAddress> address_of(const Route& route) const;
    [[nodiscard]] Sending sending(const Route& route, RedisCommand command);
    [[nodiscard]] bool follow(Route& route, const Outcome& outcome);
    asio::awaitable<void> pause();
    Node& node(const RedisAddress& address);
    [[nodiscard]] const RedisAddress* any_up() const;

    void refresh_soon();
    void refresh_in(milliseconds delay);
    asio::awaitable<void> refresh();
    static asio::awaitable<Result<SlotMap>> ask(std::shared_ptr<RedisWorld> world,
                                                RedisAddress address);
    [[nodiscard]] std::vector<RedisAddress> whom_to_ask();
    void apply(SlotMap map);
    static asio::awaitable<Result<RedisAddress>>
    where_to_listen(std::shared_ptr<ClusterRedis*> self, std::shared_ptr<RedisWorld> world);

    std::shared_ptr<RedisWorld> world_;
    SlotMap map_;
    std::map<RedisAddress, Node> nodes_;
    ScriptNames scripts_;
    std::vector<std::weak_ptr<Link>> subscriptions_;
    asio::steady_timer refresh_timer_;
    bool refreshing_ = false;
    bool again_ = false; ///< asked for while one was under way
    std::chrono::steady_clock::time_point refreshed_;
    std::size_t turn_ = 0; ///< so that not always the same server is asked
    bool closed_ = false;
    std::shared_ptr<ClusterRedis*> self_ = std::make_shared<ClusterRedis*>(this); ///< null: gone
};

} // namespace cluster::app
