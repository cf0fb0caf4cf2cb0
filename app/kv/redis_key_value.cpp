#include "app/kv/key_value.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

bool unknown(const Result<RedisReply>& reply)
{
    return !reply && kind_of(reply.error()) == Trouble::unknown_outcome;
}

class RedisKeyValue final : public KeyValue {
public:
    explicit RedisKeyValue(Redis& redis) : redis_{redis} {}

    asio::awaitable<Result<void>> set(std::string key, std::string value,
                                      milliseconds life) override
    {
        // PX takes no 0; what lives no moment may as well live one.
        const auto ms = std::max<milliseconds::rep>(life.count(), 1);
        const RedisCommand command{"SET", std::move(key), std::move(value), "PX",
                                   std::to_string(ms)};
        auto first = redis_.call(command);
        auto reply = co_await std::move(first);
        if (unknown(reply)) {
            auto again = redis_.call(command);
            reply = co_await std::move(again);
        }
        if (!reply) co_return std::unexpected(reply.error());
        co_return Result<void>{};
    }

    asio::awaitable<Result<std::vector<std::optional<std::string>>>>
    get(std::vector<std::string> keys) override
    {
        // No MGET: in a Cluster its keys would have to share a slot.
        std::vector<RedisCommand> commands;
        commands.reserve(keys.size());
        for (const std::string& key : keys)
            commands.push_back({"GET", key});
        auto first = redis_.pipeline(commands);
        auto replies = co_await std::move(first);
        if (std::ranges::any_of(replies, unknown)) {
            auto again = redis_.pipeline(commands);
            replies = co_await std::move(again);
        }
        std::vector<std::optional<std::string>> values;
        values.reserve(replies.size());
        for (auto& reply : replies) {
            if (!reply) co_return std::unexpected(reply.error());
            if (reply->is_nil())
                values.emplace_back();
            else
                values.emplace_back(std::move(reply->text));
        }
        co_return values;
    }

    asio::awaitable<Result<bool>> remove(std::string key) override
    {
        RedisCommand command{"DEL", std::move(key)};
        auto call = redis_.call(std::move(command));
        const auto reply = co_await std::move(call);
        if (!reply) co_return std::unexpected(reply.error());
        co_return reply->number > 0;
    }

    asio::awaitable<Result<void>> ping() override
    {
        RedisCommand command{"PING"};
        auto call = redis_.call(std::move(command), 0);
        const auto reply = co_await std::move(call);
        if (!reply) co_return std::unexpected(reply.error());
        co_return Result<void>{};
    }

    [[nodiscard]] std::string_view form() const override { return redis_.form(); }

private:
    Redis& redis_;
};

} // namespace

std::unique_ptr<KeyValue> make_key_value(Redis& redis)
{
    return std::make_unique<RedisKeyValue>(redis);
}

} // namespace cluster::app
