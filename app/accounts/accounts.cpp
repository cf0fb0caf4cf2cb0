#include "app/accounts/accounts.hpp"

#include "app/accounts/email.hpp"
#include "app/accounts/token_authenticator.hpp"
#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "app/http/fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kLeastPassword = 8;
constexpr std::size_t kMostPassword = 128;

std::string email_in(Fields& fields)
{
    if (fields.find("email") == nullptr) {
        fields.fault("email", "is missing");
        return {};
    }
    const std::string given = fields.raw_text("email");
    const auto email = normal_email(given);
    // One fault is enough for one field: a number was told of already.
    if (!email && fields.find("email")->is_string())
        fields.fault("email", "must be an e-mail address");
    return email.value_or("");
}

std::string new_password_in(Fields& fields)
{
    std::string password = fields.raw_text("password");
    const json* const given = fields.find("password");
    if (given == nullptr || !given->is_string()) return {};
    if (password.size() < kLeastPassword || password.size() > kMostPassword)
        fields.fault("password", fmt::format("must have {} to {} bytes, has {}", kLeastPassword,
                                             kMostPassword, password.size()));
    return password;
}

Response granted(const std::string& access, const std::string& refresh, const User& user,
                 http::status status)
{
    Response response =
        success({{"token", access}, {"refreshToken", refresh}, {"user", user_json(user)}}, status);
    response.headers.emplace_back("Cache-Control", "no-store");
    return response;
}

Response wrong_credentials()
{
    return unauthorized("INVALID_CREDENTIALS", "The address or the password is wrong.");
}

} // namespace

json user_json(const User& user)
{
    return {{"id", user.id},
            {"email", user.email},
            {"name", user.name},
            {"role", user.role},
            {"createdAt", iso_time(user.created_ms)}};
}

Accounts::Accounts(AccountParts parts, const AccountOptions& options, Metrics& metrics)
    : parts_{parts},
      // An access token must not outlive what it may be checked against.
      session_life_{std::max(options.session_life, options.access_life)},
      allow_unchecked_{options.allow_unchecked},
      logins_{metrics.counter("logins_total", "Attempts to log in, by outcome.",
                              {{"outcome", "granted"}})},
      failed_logins_{metrics.counter("logins_total", "Attempts to log in, by outcome.",
                                     {{"outcome", "refused"}})},
      reused_tokens_{metrics.counter("refresh_tokens_reused_total",
                                     "Refresh tokens that were shown a second time.", {})}
{
}

Accounts::Grant Accounts::new_grant(const User& user, const std::string& session_id) const
{
    return {.access = parts_.tokens.make_access(user.id, session_id, user.role),
            .refresh = parts_.tokens.make_refresh(user.id, session_id),
            .session_id = session_id};
}

asio::awaitable<Result<void>> Accounts::keep_session(const Request& request, const Grant& grant,
                                                     const std::string& user_id)
{
    const std::string_view agent = request.header(http::field::user_agent);
    json data = {{"userId", user_id},
                 {"createdAt", iso_time(parts_.clock.wall_ms())},
                 {"userAgent", agent.substr(0, 256)},
                 {"client", request.client}};
    auto setting = parts_.sessions.set(grant.session_id, std::move(data), session_life_);
    auto done = co_await std::move(setting);
    // Where tokens are trusted without a look, a log-in need not be kept for it.
    if (!done && allow_unchecked_) co_return Result<void>{};
    co_return done;
}

asio::awaitable<Result<void>> Accounts::keep_refresh_token(const Grant& grant, const User& user)
{
    RefreshToken token{.hash = sha256_hex(grant.refresh),
                       .user_id = user.id,
                       .session_id = grant.session_id,
                       .expires_ms = parts_.clock.wall_ms() + parts_.tokens.refresh_life().count()};
    auto adding = parts_.store.add_refresh_token(std::move(token));
    co_return co_await std::move(adding);
}

asio::awaitable<Response> Accounts::register_user(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const std::string email = email_in(fields);
    const std::string password = new_password_in(fields);
    const std::string name = fields.text("name", {.min = 1, .max = 100});
    if (fields.wrong()) co_return fields.problem();

    auto hashing = parts_.passwords.hash(password);
    auto hash = co_await std::move(hashing);
    if (!hash) co_return problem(hash.error());

    const std::int64_t now_ms = parts_.clock.wall_ms();
    const User user{.id = new_id(now_ms), .email = email, .name = name, .created_ms = now_ms};
    const Grant grant = new_grant(user, new_id(now_ms));
    // What may be away is asked first: who is told 503 has no account yet and can try again.
    auto keeping = keep_session(request, grant, user.id);
    const auto kept = co_await std::move(keeping);
    if (!kept) co_return problem(kept.error());

    Credentials credentials{.user = user, .password_hash = std::move(*hash)};
    auto creating = parts_.store.create_user(std::move(credentials));
    const auto created = co_await std::move(creating);
    if (!created) {
        auto removing = parts_.sessions.remove(grant.session_id);
        static_cast<void>(co_await std::move(removing)); // else it goes by itself
        if (kind_of(created.error()) != Trouble::conflict) co_return problem(created.error());
        co_return problem(http::status::conflict, "EMAIL_TAKEN",
                          "There is an account with this address already.");
    }
    auto noting = parts_.writes.note(user.id);
    co_await std::move(noting);
    auto adding = keep_refresh_token(grant, user);
    const auto added = co_await std::move(adding);
    if (!added) co_return problem(added.error());
    co_return granted(grant.access, grant.refresh, user, http::status::created);
}

asio::awaitable<Response> Accounts::login(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const std::string given = fields.raw_text("email");
    const std::string password = fields.raw_text("password");
    if (fields.wrong()) co_return fields.problem();

    std::optional<Credentials> known;
    if (const auto email = normal_email(given)) {
        auto asking = parts_.store.credentials(*email);
        auto found = co_await std::move(asking);
        if (!found) co_return problem(found.error());
        known = std::move(*found);
    }
    // Hashed in any case: the time of the answer must not tell whether the address exists.
    auto checking = known ? parts_.passwords.matches(password, known->password_hash)
                          : parts_.passwords.matches_nobody(password);
    const auto matches = co_await std::move(checking);
    if (!matches) co_return problem(matches.error());
    if (!known || !*matches) {
        failed_logins_.add();
        co_return wrong_credentials();
    }

    const Grant grant = new_grant(known->user, new_id(parts_.clock.wall_ms()));
    auto keeping = keep_session(request, grant, known->user.id);
    const auto kept = co_await std::move(keeping);
    if (!kept) co_return problem(kept.error());
    auto adding = keep_refresh_token(grant, known->user);
    const auto added = co_await std::move(adding);
    if (!added) co_return problem(added.error());
    logins_.add();
    co_return granted(grant.access, grant.refresh, known->user, http::status::ok);
}

asio::awaitable<Response> Accounts::refresh(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const std::string old = fields.raw_text("refreshToken");
    if (fields.wrong()) co_return fields.problem();
    const auto claims = parts_.tokens.read_refresh(old);
    if (!claims && claims.error() == TokenFault::expired)
        co_return unauthorized("TOKEN_EXPIRED", "The refresh token has expired.");
    if (!claims) co_return unauthorized("TOKEN_INVALID", "The refresh token is not valid.");

    std::string next = parts_.tokens.make_refresh(claims->user_id, claims->session_id);
    const std::int64_t now_ms = parts_.clock.wall_ms();
    auto rotating = parts_.store.rotate_refresh_token(
        sha256_hex(old), sha256_hex(next), now_ms + parts_.tokens.refresh_life().count(), now_ms);
    const auto rotation = co_await std::move(rotating);
    if (!rotation) co_return problem(rotation.error());
    if (rotation->what == Rotation::What::reused) {
        reused_tokens_.add();
        // The store has ended the session; now its access tokens too. It is told either way.
        auto revoking = parts_.revocation.revoke_session(rotation->session_id);
        static_cast<void>(co_await std::move(revoking));
        auto removing = parts_.sessions.remove(rotation->session_id);
        static_cast<void>(co_await std::move(removing));
        co_return unauthorized("TOKEN_REUSED",
                               "The refresh token was used before; its session has ended.");
    }
    if (rotation->what != Rotation::What::rotated || !rotation->user)
        co_return unauthorized("TOKEN_INVALID", "The refresh token holds no longer.");

    const User user = *rotation->user;
    const Grant grant{.access = parts_.tokens.make_access(user.id, rotation->session_id, user.role),
                      .refresh = std::move(next),
                      .session_id = rotation->session_id};
    // The old token is used up: whatever becomes of the session's data, the new pair must arrive.
    auto keeping = keep_session(request, grant, user.id);
    static_cast<void>(co_await std::move(keeping));
    co_return granted(grant.access, grant.refresh, user, http::status::ok);
}

asio::awaitable<Result<void>> Accounts::end(std::string session_id)
{
    // The store first: when something fails, the access token still serves for another try.
    auto ending = parts_.store.end_session(session_id);
    auto ended = co_await std::move(ending);
    if (!ended) co_return ended;
    auto revoking = parts_.revocation.revoke_session(session_id);
    auto revoked = co_await std::move(revoking);
    if (!revoked) co_return revoked;
    auto removing = parts_.sessions.remove(std::move(session_id));
    const auto removed = co_await std::move(removing);
    if (!removed) co_return std::unexpected(removed.error());
    co_return Result<void>{};
}

/// The session of the refresh token in the body: "" when there is none, or it is the caller's own.
asio::awaitable<std::expected<std::string, Response>> Accounts::other_session(Request& request)
{
    if (trimmed(request.body).empty()) co_return std::string{};
    const auto body = json_body(request);
    if (!body) co_return std::unexpected(body.error());
    Fields fields{*body};
    if (fields.find("refreshToken") == nullptr) co_return std::string{};
    const std::string token = fields.raw_text("refreshToken");
    if (fields.wrong()) co_return std::unexpected(fields.problem());
    // One that holds no longer has nothing to end.
    const auto claims = parts_.tokens.read_refresh(token);
    if (!claims || claims->user_id != request.caller->user_id ||
        claims->session_id == request.caller->session_id)
        co_return std::string{};
    co_return claims->session_id;
}

asio::awaitable<Response> Accounts::logout(Request& request)
{
    auto reading = other_session(request);
    const auto other = co_await std::move(reading);
    if (!other) co_return other.error();
    const Caller caller = *request.caller;
    for (const std::string& session_id : {caller.session_id, *other}) {
        if (session_id.empty()) continue;
        auto ending = end(session_id);
        const auto ended = co_await std::move(ending);
        if (!ended) co_return problem(ended.error());
    }
    // Last: with it the caller can ask no more.
    auto revoking = parts_.revocation.revoke_token(caller.token_id, caller.expires_s);
    const auto revoked = co_await std::move(revoking);
    if (!revoked) co_return problem(revoked.error());
    co_return success({{"loggedOut", true}});
}

asio::awaitable<Response> Accounts::me(Request& request)
{
    const Caller& caller = *request.caller;
    auto asking = parts_.store.user(caller.user_id,
                                    caller.wrote_lately ? ReadFrom::primary : ReadFrom::replica);
    auto found = co_await std::move(asking);
    if (found && !*found && !caller.wrote_lately) {
        // A replica may be behind by more than it should.
        auto again = parts_.store.user(caller.user_id, ReadFrom::primary);
        found = co_await std::move(again);
    }
    if (!found) co_return problem(found.error());
    if (!*found) co_return unauthorized("TOKEN_INVALID", "The account is not there any more.");
    co_return success(user_json(**found));
}

asio::awaitable<Response> Accounts::session(Request& request)
{
    const std::string id = request.caller->session_id;
    auto getting = parts_.sessions.get(id);
    const auto found = co_await std::move(getting);
    if (!found) co_return problem(found.error());
    if (!*found)
        co_return problem(http::status::not_found, "NO_SESSION",
                          "The session is not there any more.");
    json data = **found;
    data["id"] = id;
    co_return success(data);
}

void add_account_routes(Router& router, Accounts& accounts)
{
    using enum http::verb;
    const auto add = [&](http::verb method, const char* pattern, bool caller,
                         asio::awaitable<Response> (Accounts::*handler)(Request&)) {
        router.add({.method = method,
                    .pattern = pattern,
                    .handler = [&accounts,
                                handler](Request& request) { return (accounts.*handler)(request); },
                    .rules = {.caller = caller}});
    };
    add(post, "/api/auth/register", false, &Accounts::register_user);
    add(post, "/api/auth/login", false, &Accounts::login);
    add(post, "/api/auth/refresh", false, &Accounts::refresh);
    add(post, "/api/auth/logout", true, &Accounts::logout);
    add(get, "/api/auth/session", true, &Accounts::session);
    add(get, "/api/users/me", true, &Accounts::me);
}

} // namespace cluster::app
