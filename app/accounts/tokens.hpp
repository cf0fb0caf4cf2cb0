// Access and refresh tokens: JWTs (RFC 7519) signed with HMAC-SHA-256, and no other algorithm. Each
// kind has a secret of its own and says what it is (`typ`), so that neither passes for the other.
#pragma once

#include "app/base/environment.hpp"
#include "ipc/base/clock.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cluster::app {

struct Claims {
    std::string user_id;    ///< `sub`
    std::string token_id;   ///< `jti`
    std::string session_id; ///< `sid`
    std::string role = "user";
    std::int64_t expires_s = 0; ///< `exp`, seconds since 1970
    bool operator==(const Claims&) const = default;
};

enum class TokenFault { invalid, expired };

class Tokens {
public:
    struct Keys {
        std::string access;
        std::string refresh; ///< "": derived from `access`
        milliseconds access_life;
        milliseconds refresh_life;
    };
    Tokens(const ipc::Clock& clock, Keys keys);

    [[nodiscard]] std::string make_access(const std::string& user_id, const std::string& session_id,
                                          const std::string& role) const;
    [[nodiscard]] std::string make_refresh(const std::string& user_id,
                                           const std::string& session_id) const;

    /// What a token of ours says. Not const: it remembers the last thousand that it has checked,
    /// because a signature costs more than everything else that a small answer needs. Whether it
    /// was revoked is not asked here.
    [[nodiscard]] std::expected<Claims, TokenFault> read_access(std::string_view token);
    [[nodiscard]] std::expected<Claims, TokenFault> read_refresh(std::string_view token) const;

    [[nodiscard]] milliseconds access_life() const { return keys_.access_life; }
    [[nodiscard]] milliseconds refresh_life() const { return keys_.refresh_life; }

private:
    struct Known {
        std::string token;
        Claims claims;
    };

    [[nodiscard]] bool expired(const Claims& claims) const;
    void remember(std::string_view token, const Claims& claims);

    const ipc::Clock& clock_;
    Keys keys_;
    std::list<Known> known_; ///< the last used first
    std::unordered_map<std::string_view, std::list<Known>::iterator> by_token_; ///< into `known_`
};

/// SHA-256 in hex: what the store keeps of a refresh token.
[[nodiscard]] std::string sha256_hex(std::string_view text);

} // namespace cluster::app
