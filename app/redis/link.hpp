// Keeps a connection to one server (or to whoever is the master now): makes the next one when one
// ends, at once after a good one, else with a growing pause. While it pauses, calls fail at once.
#pragma once

#include "app/redis/connection.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace cluster::app {

/// How long to pause before the `attempt`-th try in a row (from 1): doubles from 50 ms to 2 s, of
/// which a random part from half to all, so that instances do not come back in step. `chance` is
/// from 0 to 1.
[[nodiscard]] milliseconds reconnect_pause(int attempt, double chance);

class Link : public std::enable_shared_from_this<Link> {
public:
    struct Hooks {
        std::function<void(Connection&)> ready{}; ///< before anything else is sent
        std::function<void(RedisReply)> message{};
        std::function<void()> down{}; ///< a try ended, or a good connection
    };

    Link(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find, Hooks hooks);

    void start();
    /// For good; nothing is heard of it any more.
    void stop();
    /// See Connection::send; while it pauses, unavailable at once.
    void send(const RedisCommand& command, Answered answered);
    /// Ends the connection and makes the next one at once: the server is the wrong one.
    void renew(const std::string& why);
    /// Ends the connection as a failed one: the next one comes after a pause.
    void reject(const std::string& why);

    [[nodiscard]] bool up() const { return connection_ && connection_->ready(); }
    /// Being connected: whether the server is there is not known yet.
    [[nodiscard]] bool connecting() const
    {
        return connection_ && !connection_->ended() && !connection_->ready();
    }
    /// Up for a while: what is wrong with it now is new.
    [[nodiscard]] bool settled() const;
    /// Null between two connections.
    [[nodiscard]] const std::shared_ptr<Connection>& connection() const { return connection_; }

private:
    void connect();
    void became_ready(const std::shared_ptr<Connection>& connection);
    void lost(const ipc::Error& why);
    void tell(const ipc::Error& why);
    void pause();

    std::shared_ptr<RedisWorld> world_;
    RedisPurpose purpose_;
    FindServer find_;
    Hooks hooks_;
    std::shared_ptr<Connection> connection_;
    asio::steady_timer pause_;
    int attempts_ = 0; ///< in a row without a good connection
    bool stopped_ = false;
    bool ever_up_ = false;
    bool lost_before_ = false;
    std::chrono::steady_clock::time_point ready_since_;
    std::chrono::steady_clock::time_point renewed_at_; ///< without a pause
    std::chrono::steady_clock::time_point told_at_;
    std::string told_; ///< what the log was told last
};

/// A server whose address never changes.
[[nodiscard]] FindServer always(RedisAddress address);

} // namespace cluster::app
