// Registering, logging in and out, and who one is: the routes below /api/auth and /api/users/me.
//
// A log-in is a session: its id stands in every token that stems from it. The refresh token can be
// exchanged once; who shows a used one has a copy, and the whole session ends.
#pragma once

#include "app/accounts/options.hpp"
#include "app/accounts/passwords.hpp"
#include "app/accounts/revocation.hpp"
#include "app/accounts/sessions.hpp"
#include "app/accounts/tokens.hpp"
#include "app/http/router.hpp"
#include "app/metrics/metrics.hpp"
#include "app/store/store.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace cluster::app {

namespace asio = boost::asio;

/// What the accounts work with; all of it outlives them.
struct AccountParts {
    const ipc::Clock& clock;
    AccountStore& store;
    Passwords& passwords;
    Tokens& tokens;
    Revocation& revocation;
    Sessions& sessions;
    RecentWrites& writes;
};

class Accounts {
public:
    /// `options`: session_life and allow_unchecked are looked at.
    Accounts(AccountParts parts, const AccountOptions& options, Metrics& metrics);

    asio::awaitable<Response> register_user(Request& request);
    asio::awaitable<Response> login(Request& request);
    asio::awaitable<Response> refresh(Request& request);
    asio::awaitable<Response> logout(Request& request);
    asio::awaitable<Response> me(Request& request);
    asio::awaitable<Response> session(Request& request);

private:
    struct Grant {
        std::string access;
        std::string refresh;
        std::string session_id;
    };

    [[nodiscard]] Grant new_grant(const User& user, const std::string& session_id) const;
    asio::awaitable<Result<void>> keep_session(const Request& request, const Grant& grant,
                                               const std::string& user_id);
    asio::awaitable<Result<void>> keep_refresh_token(const Grant& grant, const User& user);
    asio::awaitable<Result<void>> end(std::string session_id);
    asio::awaitable<std::expected<std::string, Response>> other_session(Request& request);

    AccountParts parts_;
    milliseconds session_life_;
    bool allow_unchecked_;
    Counter& logins_;
    Counter& failed_logins_;
    Counter& reused_tokens_;
};

/// The form in which answers tell of a user.
[[nodiscard]] json user_json(const User& user);

/// `accounts` must outlive the router.
void add_account_routes(Router& router, Accounts& accounts);

} // namespace cluster::app
