// Small values with a life: what all instances share for a while (revoked tokens, sessions, recent
// writes). With Redis: shared by all instances on all hosts. Embedded (SQLite): by those of one
// host. Chosen once at start; who uses it never knows which.
#pragma once

#include "app/base/trouble.hpp"
#include "app/redis/redis.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

class KeyValue {
public:
    virtual ~KeyValue() = default;

    /// After `life` the key is gone. Errors of all of these: unavailable, unknown_outcome,
    /// overloaded, refused.
    virtual asio::awaitable<Result<void>> set(std::string key, std::string value,
                                              milliseconds life) = 0;
    /// In the order of `keys`; all in one round trip (in a Redis Cluster one per server).
    virtual asio::awaitable<Result<std::vector<std::optional<std::string>>>>
    get(std::vector<std::string> keys) = 0;
    /// Whether it was there.
    virtual asio::awaitable<Result<bool>> remove(std::string key) = 0;

    /// Whether it answers now: one short round trip.
    virtual asio::awaitable<Result<void>> ping() = 0;
    /// "redis", "redis-sentinel", "redis-cluster" or "embedded", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
};

/// Values in `redis`, under the keys as they are given. Reading again and writing the same value
/// again do no harm, so `get` and `set` are tried a second time when the first one's outcome is
/// unknown; `remove` is not, because its answer would be wrong.
[[nodiscard]] std::unique_ptr<KeyValue> make_key_value(Redis& redis);

/// Values in the SQLite file `path`, for all processes of this host. Errors name the path.
[[nodiscard]] Result<std::unique_ptr<KeyValue>>
make_embedded_key_value(asio::io_context& io, const ipc::Clock& clock, const std::string& path);

} // namespace cluster::app
