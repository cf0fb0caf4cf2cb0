// Accounts and refresh tokens in SQLite.
#include "app/store/rows.hpp"
#include "app/store/sqlite_store.hpp"
#include "app/store/text.hpp"

namespace cluster::app {
namespace {

Result<void> insert_user(Database& database, const Credentials& given)
{
    const User& user = given.user;
    const std::string email = sound_text(user.email);
    const std::string key = fold_case(user.email);
    const std::string name = sound_text(user.name);
    const auto done =
        database.run("INSERT INTO users (id, email, email_key, name, role, "
                     "password_hash, created_ms) VALUES (?1,?2,?3,?4,?5,?6,?7)",
                     {user.id, email, key, name, user.role, given.password_hash, user.created_ms});
    if (done) return {};
    if (kind_of(done.error()) != Trouble::conflict) return std::unexpected(done.error());
    return trouble(Trouble::conflict, "create a user: the address is taken");
}

Result<void> insert_token(Database& database, const RefreshToken& token)
{
    const auto done = database.run("INSERT INTO refresh_tokens (hash, user_id, session_id, "
                                   "expires_ms) VALUES (?1, ?2, ?3, ?4)",
                                   {token.hash, token.user_id, token.session_id, token.expires_ms});
    if (!done) return std::unexpected(done.error());
    return {};
}

Result<Rotation> use_up(Database& database, const std::string& old_hash, RefreshToken next,
                        const SqlRow& old)
{
    Rotation rotation{.what = Rotation::What::rotated,
                      .user_id = old.text(0),
                      .session_id = old.text(1),
                      .user = user_of(old, 3)};
    next.user_id = rotation.user_id;
    next.session_id = rotation.session_id;
    if (auto used = database.run("UPDATE refresh_tokens SET used = 1 WHERE hash = ?1", {old_hash});
        !used)
        return std::unexpected(used.error());
    if (auto added = insert_token(database, next); !added) return std::unexpected(added.error());
    return rotation;
}

Result<Rotation> rotate(Database& database, const std::string& old_hash, const RefreshToken& next,
                        std::int64_t now_ms)
{
    const auto old = database.query("SELECT t.user_id, t.session_id, t.used, " CLUSTER_USER_COLUMNS
                                    " FROM refresh_tokens t JOIN users u ON u.id = t.user_id "
                                    "WHERE t.hash = ?1 AND t.expires_ms > ?2",
                                    {old_hash, now_ms});
    if (!old) return std::unexpected(old.error());
    if (old->empty()) return Rotation{};
    const SqlRow& row = old->front();
    if (row.number(2) == 0) return use_up(database, old_hash, next, row);
    const auto ended =
        database.run("DELETE FROM refresh_tokens WHERE session_id = ?1", {row.text(1)});
    if (!ended) return std::unexpected(ended.error());
    return Rotation{
        .what = Rotation::What::reused, .user_id = row.text(0), .session_id = row.text(1)};
}

} // namespace

Task<void> SqliteStore::create_user(Credentials credentials)
{
    return write(Operation::create_user, [given = std::move(credentials)](Database& database) {
        return insert_user(database, given);
    });
}

Task<std::optional<Credentials>> SqliteStore::credentials(std::string email)
{
    return read(Operation::credentials,
                [key = fold_case(email)](Database& database) -> Result<std::optional<Credentials>> {
                    const auto rows =
                        database.query("SELECT " CLUSTER_USER_COLUMNS ", u.password_hash "
                                       "FROM users u WHERE u.email_key = ?1",
                                       {key});
                    if (!rows) return std::unexpected(rows.error());
                    if (rows->empty()) return std::nullopt;
                    return Credentials{.user = user_of(rows->front()),
                                       .password_hash = rows->front().text(kUserColumns)};
                });
}

Task<std::optional<User>> SqliteStore::user(std::string id, ReadFrom)
{
    return read(Operation::user,
                [id = std::move(id)](Database& database) -> Result<std::optional<User>> {
                    const auto rows = database.query(
                        "SELECT " CLUSTER_USER_COLUMNS " FROM users u WHERE u.id = ?1", {id});
                    if (!rows) return std::unexpected(rows.error());
                    if (rows->empty()) return std::nullopt;
                    return user_of(rows->front());
                });
}

Task<void> SqliteStore::add_refresh_token(RefreshToken token)
{
    return write(Operation::add_refresh_token,
                 [token = std::move(token)](Database& database) -> Result<void> {
                     // So that they do not pile up: a log-in takes the user's expired ones along.
                     const auto expired =
                         database.run("DELETE FROM refresh_tokens WHERE user_id = ?1 AND "
                                      "expires_ms < unixepoch() * 1000",
                                      {token.user_id});
                     if (!expired) return std::unexpected(expired.error());
                     return insert_token(database, token);
                 });
}

Task<Rotation> SqliteStore::rotate_refresh_token(std::string old_hash, std::string new_hash,
                                                 std::int64_t expires_ms, std::int64_t now_ms)
{
    RefreshToken next{
        .hash = std::move(new_hash), .user_id = {}, .session_id = {}, .expires_ms = expires_ms};
    return write(Operation::rotate_refresh_token,
                 [old_hash = std::move(old_hash), next = std::move(next),
                  now_ms](Database& database) { return rotate(database, old_hash, next, now_ms); });
}

Task<void> SqliteStore::end_session(std::string session_id)
{
    return write(Operation::end_session,
                 [session_id = std::move(session_id)](Database& database) -> Result<void> {
                     const auto ended = database.run(
                         "DELETE FROM refresh_tokens WHERE session_id = ?1", {session_id});
                     if (!ended) return std::unexpected(ended.error());
                     return {};
                 });
}

} // namespace cluster::app
