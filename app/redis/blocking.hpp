// Connections for commands that wait on the server: one per call under way, kept for the next.
#pragma once

#include "app/redis/connection.hpp"

#include <memory>
#include <string>
#include <vector>

namespace cluster::app {

class BlockingPool {
public:
    BlockingPool(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find);
    ~BlockingPool();
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    /// Errors: those of Redis::blocking. A cancelled call ends its connection, so that the server
    /// gives nothing to somebody who is gone.
    /// `asking`: see Sending.
    asio::awaitable<Result<RedisReply>> run(RedisCommand command, milliseconds limit,
                                            bool asking = false);

    /// Ends all of them, also those under way: their server is not the right one (any more).
    void end(const std::string& why);

private:
    [[nodiscard]] std::shared_ptr<Connection> take();

    std::shared_ptr<RedisWorld> world_;
    RedisPurpose purpose_;
    FindServer find_;
    std::vector<std::shared_ptr<Connection>> idle_;
    std::vector<std::weak_ptr<Connection>> busy_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace cluster::app
