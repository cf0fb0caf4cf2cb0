// A KeyValue in memory whose time a test moves, and that can be away.
#pragma once

#include "app/kv/key_value.hpp"
#include "tests/support/manual_clock.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

class MemoryKeyValue final : public app::KeyValue {
public:
    explicit MemoryKeyValue(const ManualClock& clock) : clock_{clock} {}

    boost::asio::awaitable<app::Result<void>> set(std::string key, std::string value,
                                                  app::milliseconds life) override
    {
        if (away) co_return refusal();
        values_[key] = {std::move(value), clock_.now() + life};
        co_return app::Result<void>{};
    }
    boost::asio::awaitable<app::Result<std::vector<std::optional<std::string>>>>
    get(std::vector<std::string> keys) override
    {
        ++round_trips;
        if (away) co_return refusal();
        std::vector<std::optional<std::string>> found;
        for (const std::string& key : keys)
            found.push_back(has(key) ? std::optional{values_.at(key).first} : std::nullopt);
        co_return found;
    }
    boost::asio::awaitable<app::Result<bool>> remove(std::string key) override
    {
        if (away) co_return refusal();
        const bool there = has(key);
        values_.erase(key);
        co_return there;
    }
    boost::asio::awaitable<app::Result<void>> ping() override
    {
        if (away) co_return refusal();
        co_return app::Result<void>{};
    }
    [[nodiscard]] std::string_view form() const override { return "memory"; }

    [[nodiscard]] bool has(const std::string& key) const
    {
        const auto found = values_.find(key);
        return found != values_.end() && found->second.second > clock_.now();
    }
    /// 0: it is not there.
    [[nodiscard]] app::milliseconds life_of(const std::string& key) const
    {
        return has(key) ? values_.at(key).second - clock_.now() : app::milliseconds{0};
    }
    [[nodiscard]] std::vector<std::string> keys(std::string_view prefix) const
    {
        std::vector<std::string> names;
        for (const auto& [key, value] : values_)
            if (key.starts_with(prefix) && has(key)) names.push_back(key);
        return names;
    }

    bool away = false;
    int round_trips = 0; ///< of `get`

private:
    static std::unexpected<ipc::Error> refusal()
    {
        return app::trouble(app::Trouble::unavailable, "the key value is away");
    }

    const ManualClock& clock_;
    std::map<std::string, std::pair<std::string, app::milliseconds>> values_;
};

} // namespace cluster::tests
