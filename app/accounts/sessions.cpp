#include "app/accounts/sessions.hpp"

#include <utility>

namespace cluster::app {

asio::awaitable<Result<void>> Sessions::set(std::string id, json data, milliseconds life)
{
    std::string text = data.dump(-1, ' ', false, json::error_handler_t::replace);
    auto setting = store_.set(key(id), std::move(text), life);
    co_return co_await std::move(setting);
}

asio::awaitable<Result<std::optional<json>>> Sessions::get(std::string id)
{
    std::vector<std::string> keys{key(id)};
    auto getting = store_.get(std::move(keys));
    const auto found = co_await std::move(getting);
    if (!found) co_return std::unexpected(found.error());
    const std::optional<std::string>& text = found->front();
    if (!text) co_return std::optional<json>{};
    json data = json::parse(*text, nullptr, false);
    if (data.is_discarded()) co_return trouble(Trouble::refused, "a session that is no JSON");
    co_return std::optional<json>{std::move(data)};
}

asio::awaitable<Result<bool>> Sessions::remove(std::string id)
{
    auto removing = store_.remove(key(id));
    co_return co_await std::move(removing);
}

asio::awaitable<void> RecentWrites::note(std::string user_id)
{
    if (!needed()) co_return;
    auto setting = store_.set(key(user_id), "1", life_);
    static_cast<void>(co_await std::move(setting));
}

} // namespace cluster::app
