// What the scripts of the queue answer, taken apart. Pure; an answer of another shape is `refused`.
#pragma once

#include "app/queue/queue.hpp"
#include "app/redis/redis.hpp"

#include <array>

namespace cluster::app {

/// A job, or where to wait for one.
struct RedisTaken {
    std::optional<QueueJob> job{};
    std::optional<milliseconds> due{}; ///< until the first delayed job is due
    std::array<std::string, 3> last{}; ///< newest entries of high, normal, low
};

[[nodiscard]] Result<RedisTaken> read_taken(const RedisReply& reply, const std::string& queue,
                                            const std::string& hold);
/// 1 or 0.
[[nodiscard]] Result<bool> read_flag(const RedisReply& reply);
[[nodiscard]] Result<QueueCounts> read_counts(const RedisReply& reply);
/// The hash of a job, as HGETALL tells it; nothing when it is empty.
[[nodiscard]] Result<std::optional<QueueJobInfo>> read_info(const RedisReply& reply);

} // namespace cluster::app
