// Listening to channels, on a connection of its own that comes back by itself.
#pragma once

#include "app/redis/link.hpp"

#include <memory>
#include <set>
#include <string>

namespace cluster::app {

/// One message or confirmation that came over a listening connection.
struct Heard {
    enum class What { message, confirmed, other };
    What what = What::other;
    std::string pattern{};
    std::string channel{};
    std::string bytes{};
};
[[nodiscard]] Heard parse_heard(RedisReply reply);

class Subscription final : public RedisSubscription {
public:
    Subscription(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find,
                 RedisListener listener);
    ~Subscription() override;
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    void add(std::string channel) override;
    void remove(std::string channel) override;
    [[nodiscard]] bool up() const override
    {
        return state_->link->up() && state_->unconfirmed == 0;
    }

    /// For who must stop or renew it with all other connections.
    [[nodiscard]] const std::shared_ptr<Link>& link() const { return state_->link; }

private:
    /// Outlives the Subscription for as long as one of its own callbacks runs.
    struct State : std::enable_shared_from_this<State> {
        RedisListener listener;
        std::set<std::string> channels;
        std::shared_ptr<Link> link;
        std::size_t unconfirmed = 0; ///< of what was asked for when the connection began
        bool stopped = false;

        void ask(Connection& connection);
        void hear(RedisReply reply);
        void confirm();
    };

    std::shared_ptr<State> state_;
};

} // namespace cluster::app
