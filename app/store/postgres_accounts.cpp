// Accounts and refresh tokens in PostgreSQL.
#include "app/store/postgres_store.hpp"
#include "app/store/rows.hpp"

namespace cluster::app {
namespace {

// A user who is there by his id is the same one, put in by an earlier try.
constexpr PgStatement kCreateUser{
    "create_user",
    "INSERT INTO users (id, email, email_key, name, role, password_hash, created_ms) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING"};
constexpr PgStatement kCredentials{"credentials",
                                   "SELECT " CLUSTER_USER_COLUMNS ", u.password_hash FROM users u "
                                   "WHERE u.email_key = $1"};
constexpr PgStatement kUser{"user", "SELECT " CLUSTER_USER_COLUMNS " FROM users u WHERE u.id = $1"};

// So that they do not pile up: a log-in takes the user's expired ones along.
constexpr PgStatement kForgetTokens{
    "forget_tokens",
    "DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_ms < extract(epoch FROM now()) * "
    "1000"};
constexpr PgStatement kAddToken{
    "add_token", "INSERT INTO refresh_tokens (hash, user_id, session_id, expires_ms) "
                 "VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING"};

// All changes of one session come one after the other: else one that ends it could miss a token
// that another one is just putting in.
constexpr PgStatement kLockSession{"lock_session",
                                   "SELECT pg_advisory_xact_lock(hashtextextended(session_id, 0)) "
                                   "FROM refresh_tokens WHERE hash = $1"};
constexpr PgStatement kBeginRotation{"begin_rotation", "BEGIN ISOLATION LEVEL READ COMMITTED"};
// The last column: an earlier try has worked.
constexpr PgStatement kToken{"token",
                             "SELECT t.user_id, t.session_id, t.used, " CLUSTER_USER_COLUMNS
                             ", EXISTS (SELECT FROM refresh_tokens n WHERE n.hash = $3 AND "
                             "n.session_id = t.session_id) "
                             "FROM refresh_tokens t JOIN users u ON u.id = t.user_id "
                             "WHERE t.hash = $1 AND t.expires_ms > $2"};
constexpr PgStatement kUseToken{"use_token",
                                "UPDATE refresh_tokens SET used = true WHERE hash = $1"};
constexpr PgStatement kEndSession{"end_session",
                                  "DELETE FROM refresh_tokens WHERE session_id = $1"};

void nothing(const std::vector<PgRows>&) {}

/// What is to be done with a token that was found.
struct RotationPlan {
    Rotation rotation;
    std::vector<PgCall> calls; ///< end the transaction
};

RotationPlan plan_rotation(const PgRows& found, const std::string& old_hash, RefreshToken next)
{
    if (found.empty()) return {.rotation = {}, .calls = pg_calls(pg_call(kPgRollback))};
    const PgRow row = found.front();
    RotationPlan plan{.rotation = {.what = Rotation::What::rotated,
                                   .user_id = std::string{row.text(0)},
                                   .session_id = std::string{row.text(1)},
                                   .user = user_of(row, 3)},
                      .calls = {}};
    const bool done_before = row.flag(3 + kUserColumns);
    if (done_before) {
        plan.calls = pg_calls(pg_call(kPgRollback));
    } else if (row.flag(2)) {
        plan.rotation.what = Rotation::What::reused;
        plan.rotation.user.reset();
        plan.calls = pg_calls(pg_call(kEndSession, plan.rotation.session_id), pg_call(kPgCommit));
    } else {
        plan.calls = pg_calls(pg_call(kUseToken, old_hash),
                              pg_call(kAddToken, next.hash, plan.rotation.user_id,
                                      plan.rotation.session_id, next.expires_ms),
                              pg_call(kPgCommit));
    }
    return plan;
}

} // namespace

Task<void> PostgresStore::create_user(Credentials credentials)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const User& user = credentials.user;
    auto calls =
        pg_calls(pg_call(kCreateUser, user.id, user.email, fold_case(user.email), user.name,
                         user.role, credentials.password_hash, user.created_ms));
    auto running = write(Operation::create_user, Twice::same, std::move(calls), nothing);
    auto done = co_await std::move(running);
    if (!done && kind_of(done.error()) == Trouble::conflict)
        co_return trouble(Trouble::conflict, "create a user: the address is taken");
    co_return done;
}

Task<std::optional<Credentials>> PostgresStore::credentials(std::string email)
{
    return read(Operation::credentials, ReadFrom::primary,
                pg_calls(pg_call(kCredentials, fold_case(email))),
                [](const Rows& rows) -> std::optional<Credentials> {
                    if (rows[0].empty()) return std::nullopt;
                    const PgRow row = rows[0].front();
                    return Credentials{.user = user_of(row),
                                       .password_hash = std::string{row.text(kUserColumns)}};
                });
}

Task<std::optional<User>> PostgresStore::user(std::string id, ReadFrom from)
{
    return read(Operation::user, from, pg_calls(pg_call(kUser, id)),
                [](const Rows& rows) -> std::optional<User> {
                    if (rows[0].empty()) return std::nullopt;
                    return user_of(rows[0].front());
                });
}

Task<void> PostgresStore::add_refresh_token(RefreshToken token)
{
    return write(
        Operation::add_refresh_token, Twice::same,
        pg_calls(pg_call(kForgetTokens, token.user_id),
                 pg_call(kAddToken, token.hash, token.user_id, token.session_id, token.expires_ms)),
        nothing);
}

Task<Rotation> PostgresStore::rotate_refresh_token(std::string old_hash, std::string new_hash,
                                                   std::int64_t expires_ms, std::int64_t now_ms)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    RefreshToken next;
    next.hash = std::move(new_hash);
    next.expires_ms = expires_ms;
    std::function<asio::awaitable<PgResult<Rotation>>()> once = [&] {
        return rotate_once(old_hash, next, now_ms);
    };
    auto running =
        transact<Rotation>(Operation::rotate_refresh_token, Twice::same, std::move(once));
    co_return co_await std::move(running);
}

asio::awaitable<PgResult<Rotation>>
PostgresStore::rotate_once(std::string old_hash, RefreshToken next, std::int64_t now_ms)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto lease = co_await servers_->primary().acquire();
    if (!lease) co_return std::unexpected(std::move(lease.error()));
    auto first = pg_calls(pg_call(kBeginRotation), pg_call(kLockSession, old_hash),
                          pg_call(kToken, old_hash, now_ms, next.hash));
    const auto found = co_await step(**lease, std::move(first), PgEffect::none);
    if (!found) co_return std::unexpected(found.error());
    RotationPlan plan = plan_rotation(found->at(2), old_hash, std::move(next));
    const auto done = co_await step(**lease, std::move(plan.calls), PgEffect::commits);
    if (!done) co_return std::unexpected(done.error());
    co_return std::move(plan.rotation);
}

Task<void> PostgresStore::end_session(std::string session_id)
{
    return write(Operation::end_session, Twice::same,
                 pg_calls(pg_call(kPgLock, session_id), pg_call(kEndSession, session_id)), nothing);
}

} // namespace cluster::app
