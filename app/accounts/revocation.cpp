#include "app/accounts/revocation.hpp"

#include "app/accounts/sessions.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace cluster::app {

asio::awaitable<Result<Revocation::Verdict>> Revocation::check(const Claims& claims)
{
    std::vector<std::string> keys{"blacklist:" + claims.token_id, "ended:" + claims.session_id};
    if (policy_.session_required) keys.push_back(Sessions::key(claims.session_id));
    if (policy_.ask_writes) keys.push_back(RecentWrites::key(claims.user_id));
    auto getting = store_.get(std::move(keys));
    const auto found = co_await std::move(getting);
    if (!found) co_return std::unexpected(found.error());

    const auto& values = *found;
    Verdict verdict{.revoked = values.at(0).has_value() || values.at(1).has_value()};
    if (policy_.session_required && !values.at(2)) verdict.revoked = true;
    if (policy_.ask_writes) verdict.wrote_lately = values.back().has_value();
    co_return verdict;
}

asio::awaitable<Result<void>> Revocation::revoke_token(std::string token_id, std::int64_t expires_s)
{
    const milliseconds left{expires_s * 1000 - clock_.wall_ms()};
    // At least a second: another instance's clock may be a little behind.
    auto setting = store_.set("blacklist:" + token_id, "1", std::max(left, milliseconds{1000}));
    co_return co_await std::move(setting);
}

asio::awaitable<Result<void>> Revocation::revoke_session(std::string session_id)
{
    auto setting = store_.set("ended:" + session_id, "1", access_life_);
    co_return co_await std::move(setting);
}

} // namespace cluster::app
