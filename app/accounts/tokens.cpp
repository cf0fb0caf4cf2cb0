#include "app/accounts/tokens.hpp"

#include "app/base/ids.hpp"
#include "ipc/base/check.hpp"

#include <fmt/format.h>
#include <jwt/jwt.hpp>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kMaxToken = 4096;
constexpr std::size_t kRemembered = 1000;

std::string hex(const unsigned char* bytes, std::size_t size)
{
    std::string text;
    for (std::size_t i = 0; i < size; ++i)
        fmt::format_to(std::back_inserter(text), "{:02x}", bytes[i]);
    return text;
}

/// Another secret, which does not tell the first one.
std::string derived(const std::string& secret, std::string_view purpose)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned size = 0;
    const auto* const text = reinterpret_cast<const unsigned char*>(purpose.data());
    const auto* const made = ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                                    text, purpose.size(), bytes.data(), &size);
    CLUSTER_CHECK(made != nullptr, "HMAC-SHA-256 cannot fail");
    return hex(bytes.data(), size);
}

std::string make(const ipc::Clock& clock, const Claims& claims, std::string_view type,
                 const std::string& secret, milliseconds life)
{
    const std::int64_t now_s = clock.wall_ms() / 1000;
    jwt::jwt_object token{jwt::params::algorithm("HS256"), jwt::params::secret(secret)};
    token.add_claim("sub", claims.user_id)
        .add_claim("jti", claims.token_id)
        .add_claim("sid", claims.session_id)
        .add_claim("role", claims.role)
        .add_claim("typ", std::string{type})
        .add_claim("iat", now_s)
        .add_claim("exp", now_s + life.count() / 1000);
    std::error_code code;
    std::string text = token.signature(code);
    CLUSTER_CHECK(!code, "HMAC-SHA-256 cannot fail");
    return text;
}

/// Three parts of base64url. The library's decoder relies on it: it reads outside its table for
/// other bytes and before the begin of an empty part.
bool well_formed(std::string_view token)
{
    int parts = 1;
    std::size_t length = 0;
    for (const char c : token) {
        if (c == '.') {
            if (length % 4 == 1 || length == 0) return false;
            ++parts;
            length = 0;
            continue;
        }
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!letter) return false;
        ++length;
    }
    return parts == 3 && length > 0 && length % 4 != 1;
}

/// What a token with a right signature says; nullopt: it is not of our making.
std::optional<Claims> read(std::string_view token, const std::string& secret, std::string_view type)
try {
    if (token.size() > kMaxToken || !well_formed(token)) return std::nullopt;
    std::error_code code;
    const jwt::string_view text{token.data(), token.size()};
    // Not its verify(true): that converts "exp" and "nbf" to an integer whatever they are, which is
    // undefined for 4e24, and before it looks at the signature. It would ask its own clock, too.
    const auto decoded =
        jwt::decode(text, jwt::params::algorithms({"HS256"}), code, jwt::params::verify(false));
    if (code || decoded.header().algo() != jwt::algorithm::HS256) return std::nullopt;
    const std::size_t dot = text.rfind('.');
    const auto [genuine, fault] = jwt::jwt_signature{secret}.verify(
        decoded.header(), text.substr(0, dot), text.substr(dot + 1));
    if (fault || !genuine) return std::nullopt;
    const auto& payload = decoded.payload().create_json_obj();
    if (payload.at("typ").get<std::string>() != type) return std::nullopt;
    if (!payload.at("exp").is_number_integer()) return std::nullopt;
    return Claims{.user_id = payload.at("sub").get<std::string>(),
                  .token_id = payload.at("jti").get<std::string>(),
                  .session_id = payload.at("sid").get<std::string>(),
                  .role = payload.at("role").get<std::string>(),
                  .expires_s = payload.at("exp").get<std::int64_t>()};
} catch (const std::exception&) {
    // A claim that is missing or of another type; a header that the library trips over.
    return std::nullopt;
}

} // namespace

Tokens::Tokens(const ipc::Clock& clock, Keys keys) : clock_{clock}, keys_{std::move(keys)}
{
    if (keys_.refresh.empty()) keys_.refresh = derived(keys_.access, "refresh tokens");
}

std::string Tokens::make_access(const std::string& user_id, const std::string& session_id,
                                const std::string& role) const
{
    const Claims claims{.user_id = user_id,
                        .token_id = new_id(clock_.wall_ms()),
                        .session_id = session_id,
                        .role = role};
    return make(clock_, claims, "access", keys_.access, keys_.access_life);
}

std::string Tokens::make_refresh(const std::string& user_id, const std::string& session_id) const
{
    const Claims claims{
        .user_id = user_id, .token_id = new_id(clock_.wall_ms()), .session_id = session_id};
    return make(clock_, claims, "refresh", keys_.refresh, keys_.refresh_life);
}

bool Tokens::expired(const Claims& claims) const
{
    return claims.expires_s <= clock_.wall_ms() / 1000;
}

void Tokens::remember(std::string_view token, const Claims& claims)
{
    if (known_.size() >= kRemembered) {
        by_token_.erase(known_.back().token);
        known_.pop_back();
    }
    known_.push_front({std::string{token}, claims});
    by_token_.emplace(known_.front().token, known_.begin());
}

std::expected<Claims, TokenFault> Tokens::read_access(std::string_view token)
{
    if (const auto found = by_token_.find(token); found != by_token_.end()) {
        known_.splice(known_.begin(), known_, found->second);
        if (expired(known_.front().claims)) return std::unexpected(TokenFault::expired);
        return known_.front().claims;
    }
    const auto claims = read(token, keys_.access, "access");
    if (!claims) return std::unexpected(TokenFault::invalid);
    if (expired(*claims)) return std::unexpected(TokenFault::expired);
    remember(token, *claims);
    return *claims;
}

std::expected<Claims, TokenFault> Tokens::read_refresh(std::string_view token) const
{
    const auto claims = read(token, keys_.refresh, "refresh");
    if (!claims) return std::unexpected(TokenFault::invalid);
    if (expired(*claims)) return std::unexpected(TokenFault::expired);
    return *claims;
}

std::string sha256_hex(std::string_view text)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned size = 0;
    const int made =
        ::EVP_Digest(text.data(), text.size(), bytes.data(), &size, ::EVP_sha256(), nullptr);
    CLUSTER_CHECK(made == 1, "SHA-256 cannot fail");
    return hex(bytes.data(), size);
}

} // namespace cluster::app
