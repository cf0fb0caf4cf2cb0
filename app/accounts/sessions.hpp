// What all instances remember about a log-in (keys `session:*`), and about who has just written
// (keys `wrote:*`).
#pragma once

#include "app/base/log.hpp"
#include "app/kv/key_value.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace cluster::app {

class Sessions {
public:
    /// `store` must outlive it.
    explicit Sessions(KeyValue& store) : store_{store} {}

    asio::awaitable<Result<void>> set(std::string id, json data,
                                      milliseconds life = std::chrono::seconds{86'400});
    /// nullopt: there is none, or no longer. Errors: of the KeyValue; refused: it is no JSON.
    asio::awaitable<Result<std::optional<json>>> get(std::string id);
    /// Whether it was there.
    asio::awaitable<Result<bool>> remove(std::string id);

    [[nodiscard]] static std::string key(const std::string& id) { return "session:" + id; }

private:
    KeyValue& store_;
};

/// So that a user finds what he has just written, whichever instance he asks next: until every
/// replica must have it, his reads go to the primary. Costs nothing where there are no replicas.
class RecentWrites {
public:
    /// `life`: how far replicas may lag behind (DATABASE_REPLICA_MAX_LAG_MS); 0: there are none.
    RecentWrites(KeyValue& store, milliseconds life) : store_{store}, life_{life} {}

    [[nodiscard]] bool needed() const { return life_.count() > 0; }
    /// `user_id` has written something. When that cannot be kept, he may read old data for a while:
    /// no reason to take his write back.
    asio::awaitable<void> note(std::string user_id);

    [[nodiscard]] static std::string key(const std::string& user_id) { return "wrote:" + user_id; }

private:
    KeyValue& store_;
    milliseconds life_;
};

} // namespace cluster::app
