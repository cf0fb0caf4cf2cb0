#include "app/accounts/token_authenticator.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

Response fault_response(TokenFault fault)
{
    if (fault == TokenFault::expired)
        return unauthorized("TOKEN_EXPIRED", "The token has expired.");
    return unauthorized("TOKEN_INVALID", "The token is not valid.");
}

} // namespace

Response unauthorized(std::string_view code, std::string_view message)
{
    Response response = problem(http::status::unauthorized, code, message);
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
}

std::string_view bearer_token(std::string_view authorization)
{
    constexpr std::string_view kScheme = "Bearer ";
    if (authorization.size() < kScheme.size() ||
        !boost::beast::iequals(authorization.substr(0, kScheme.size()), kScheme))
        return {};
    authorization.remove_prefix(kScheme.size());
    authorization.remove_prefix(
        std::min(authorization.find_first_not_of(' '), authorization.size()));
    return authorization.substr(0, authorization.find_last_not_of(" \t") + 1);
}

asio::awaitable<std::expected<Caller, Response>>
TokenAuthenticator::authenticate(const Request& request)
{
    const std::string_view token = bearer_token(request.header(http::field::authorization));
    if (token.empty())
        co_return std::unexpected(unauthorized("UNAUTHORIZED", "An access token is needed."));
    const auto claims = tokens_.read_access(token);
    if (!claims) co_return std::unexpected(fault_response(claims.error()));

    auto checking = revocation_.check(*claims);
    const auto verdict = co_await std::move(checking);
    if (!verdict && !allow_unchecked_) co_return std::unexpected(problem(verdict.error()));
    if (verdict && verdict->revoked)
        co_return std::unexpected(unauthorized("TOKEN_REVOKED", "The token was revoked."));
    // Unchecked: nobody can say whether he has just written, so the primary it is.
    co_return Caller{.user_id = claims->user_id,
                     .token_id = claims->token_id,
                     .session_id = claims->session_id,
                     .expires_s = claims->expires_s,
                     .role = claims->role,
                     .wrote_lately = verdict ? verdict->wrote_lately : true};
}

} // namespace cluster::app
