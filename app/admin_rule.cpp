#include "app/admin_rule.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cctype>
#include <memory>

namespace cluster::app {
namespace {

std::string lower(std::string text)
{
    std::ranges::transform(text, text.begin(), [](unsigned char letter) {
        return static_cast<char>(std::tolower(letter));
    });
    return text;
}

using Emails = std::shared_ptr<const std::vector<std::string>>;

asio::awaitable<Result<bool>> is_admin(AccountStore& accounts, Emails emails, std::string user_id)
{
    if (emails->empty()) co_return false;
    auto asking = accounts.user(std::move(user_id), ReadFrom::replica);
    const auto user = co_await std::move(asking);
    if (!user) co_return std::unexpected(user.error());
    co_return *user&& std::ranges::find(*emails, lower((*user)->email)) != emails->end();
}

} // namespace

AdminRule make_admin_rule(AccountStore& accounts, std::vector<std::string> emails)
{
    std::ranges::transform(emails, emails.begin(), lower);
    const auto kept = std::make_shared<const std::vector<std::string>>(std::move(emails));
    return [&accounts, kept](Caller caller) {
        return is_admin(accounts, kept, std::move(caller.user_id));
    };
}

} // namespace cluster::app
