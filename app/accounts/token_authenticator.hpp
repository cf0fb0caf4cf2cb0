// Who calls, by "Authorization: Bearer TOKEN" (RFC 6750).
#pragma once

#include "app/accounts/revocation.hpp"
#include "app/accounts/tokens.hpp"
#include "app/http/authenticator.hpp"

namespace cluster::app {

class TokenAuthenticator final : public Authenticator {
public:
    /// `allow_unchecked`: TOKEN_CHECK_ON_ERROR=allow. All that it is given must outlive it.
    TokenAuthenticator(Tokens& tokens, Revocation& revocation, bool allow_unchecked)
        : tokens_{tokens}, revocation_{revocation}, allow_unchecked_{allow_unchecked}
    {
    }

    /// 401 UNAUTHORIZED (no token), TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED; 503 while nobody
    /// can say whether it was revoked.
    asio::awaitable<std::expected<Caller, Response>> authenticate(const Request& request) override;

private:
    Tokens& tokens_;
    Revocation& revocation_;
    bool allow_unchecked_;
};

/// 401 with the header that it must have.
[[nodiscard]] Response unauthorized(std::string_view code, std::string_view message);

/// The token in "Bearer TOKEN", "" when there is none. The scheme's letter case does not matter.
[[nodiscard]] std::string_view bearer_token(std::string_view authorization);

} // namespace cluster::app
