// Redis, in each of its three forms (one server, behind Sentinel, a Cluster): who uses it never
// knows which. Calls of many coroutines share one connection per server and go out together, so a
// call costs no connection and few packets. It reconnects by itself.
//
// What happens when something goes wrong:
//  1. Right after a good connection is lost (and at the start) the next one is made at once, and
//     calls wait for it. While that fails, calls fail at once (unavailable) and tries are 50 ms to
//     2 s apart.
//  2. A call that did not leave fails as unavailable: it was surely not done. One that left and has
//     no answer fails as unknown_outcome.
//  3. No call is sent a second time, but for those that a server answered without doing them: after
//     MOVED, ASK (up to 5 times), TRYAGAIN (up to 5 times, 20 ms apart) and, of a script, NOSCRIPT.
//     Who knows that doing it twice does no harm, asks again himself (KeyValue does).
//  4. A connection whose oldest call has waited for REDIS_COMMAND_TIMEOUT_MS is dropped, with all
//     that wait behind it: answers come in order.
//  5. Errors that pass by themselves (LOADING, READONLY, CLUSTERDOWN, MASTERDOWN, BUSY, MISCONF,
//     OOM, NOREPLICAS, UNBLOCKED) are unavailable; nothing was done. READONLY also makes all
//     connections anew, as the master is somewhere else.
//  6. More than 10,000 calls without an answer on one connection: overloaded.
//  7. A cancelled call ends at once as unknown_outcome; its answer is dropped when it comes. A
//     cancelled blocking call ends its connection, so that the server gives nothing to nobody.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

/// One answer (RESP2, redis.io/docs/reference/protocol-spec). An error reply is no RedisReply but
/// an ipc::Error (refused, or unavailable for those that pass: LOADING, MASTERDOWN, CLUSTERDOWN …).
struct RedisReply {
    /// `error` only inside a list, as EXEC gives one per command; its words are in `text`.
    enum class Type { nil, status, text, number, list, error };
    Type type = Type::nil;
    std::string text{}; ///< of a status or a text; may hold any byte
    std::int64_t number = 0;
    std::vector<RedisReply> items{};

    [[nodiscard]] bool is_nil() const { return type == Type::nil; }
};

using RedisCommand = std::vector<std::string>; ///< {"SET", "key", "value"}

/// What somebody listens to; ends when it is destroyed.
class RedisSubscription {
public:
    virtual ~RedisSubscription() = default;
    /// More of it, while it runs.
    virtual void add(std::string channel) = 0;
    virtual void remove(std::string channel) = 0;
    /// Whether all of it holds now: what is published is heard.
    [[nodiscard]] virtual bool up() const = 0;
};

struct RedisListener {
    std::vector<std::string> channels;
    std::vector<std::string> patterns; ///< as PSUBSCRIBE takes them
    /// From the loop; must not throw. `pattern` is "" for a channel.
    std::function<void(std::string_view pattern, std::string_view channel, std::string_view bytes)>
        message;
    /// Every time that it holds (again); after a break messages may have been missed.
    std::function<void()> connected{};
};

class Redis {
public:
    virtual ~Redis() = default;

    /// One command, sent to the server that has its key (the word at `key_at`; 0: any server).
    /// MOVED and ASK are followed. Errors: unavailable (not sent, or surely not done),
    /// unknown_outcome (sent, no answer), refused (`what` begins with Redis' own words).
    virtual asio::awaitable<Result<RedisReply>> call(RedisCommand command,
                                                     std::size_t key_at = 1) = 0;

    /// Several, in one round trip per server, in no common order but each server's own. Each has
    /// its own outcome.
    virtual asio::awaitable<std::vector<Result<RedisReply>>>
    pipeline(std::vector<RedisCommand> commands, std::size_t key_at = 1) = 0;

    /// A script, atomic on its server: EVALSHA, and EVAL when the server does not know it (any
    /// more). All `keys` must lie in one slot. `lua` must outlive the call.
    virtual asio::awaitable<Result<RedisReply>>
    script(std::string_view lua, std::vector<std::string> keys, std::vector<std::string> args) = 0;

    /// A command that may wait on the server (XREADGROUP … BLOCK, BZPOPMIN) for at most `limit`, on
    /// a connection of its own that is kept for the next such call. Nothing came: a nil reply.
    /// While Redis is away it fails at once, so a loop of such calls must pause by itself.
    virtual asio::awaitable<Result<RedisReply>> blocking(RedisCommand command, milliseconds limit,
                                                         std::size_t key_at) = 0;

    /// Listens on a connection of its own; subscribes again after each reconnect.
    [[nodiscard]] virtual std::unique_ptr<RedisSubscription> subscribe(RedisListener listener) = 0;

    /// Whether the (or each) master is connected now.
    [[nodiscard]] virtual bool up() const = 0;
    /// "redis", "redis-sentinel" or "redis-cluster", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
    /// Ends all connections; calls under way fail.
    virtual void close() = 0;
};

} // namespace cluster::app
