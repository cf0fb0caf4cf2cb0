#include "app/store/sqlite_store.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <array>
#include <filesystem>

namespace cluster::app {
namespace {

constexpr std::chrono::seconds kCloseLimit{10}; // twice what one write may wait
constexpr std::size_t kMaxWaiting = 4096;       // pieces of work; each is short

// Number n brings the tables from version n to n+1 (PRAGMA user_version). What is here has been
// released: it is never changed, a new one is added. The tables are those of PostgreSQL.
constexpr std::array kMigrations{R"(
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    title TEXT NOT NULL,
    company TEXT NOT NULL,
    location TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    max_applications INTEGER,
    applications INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    search_text TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_newest ON jobs (created_ms DESC, id DESC);
CREATE INDEX jobs_status ON jobs (status, created_ms DESC, id DESC);
CREATE INDEX jobs_owner ON jobs (owner_id);

CREATE TABLE applications (
    id TEXT PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    cover_letter TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (job_id, user_id)
) STRICT;
CREATE INDEX applications_user ON applications (user_id, created_ms DESC, id DESC);

CREATE TABLE application_history (
    application_id TEXT NOT NULL REFERENCES applications ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    event TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (application_id, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX application_history_user ON application_history (user_id, at_ms DESC);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    title TEXT NOT NULL,
    content TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE INDEX projects_owner ON projects (owner_id, updated_ms DESC, id DESC);

CREATE TABLE collaborators (
    project_id TEXT NOT NULL REFERENCES projects ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    role TEXT NOT NULL,
    added_ms INTEGER NOT NULL,
    PRIMARY KEY (project_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX collaborators_user ON collaborators (user_id);
)"};

/// Errors: refused when the tables are newer than this program.
Result<std::size_t> version_of(Database& database)
{
    const auto version = database.query("PRAGMA user_version");
    if (!version) return std::unexpected(version.error());
    const auto at = static_cast<std::size_t>(version->at(0).number(0));
    if (at > kMigrations.size())
        return trouble(Trouble::refused,
                       fmt::format("its tables are of version {}, this program knows them up to "
                                   "version {}: a newer clusterapp has used it",
                                   at, kMigrations.size()));
    return at;
}

Result<void> apply_migrations(Database& database)
{
    // Asked again inside the transaction: another process may have been quicker.
    const auto at = version_of(database);
    if (!at) return std::unexpected(at.error());
    for (std::size_t i = *at; i < kMigrations.size(); ++i)
        if (auto done = database.script(kMigrations[i]); !done) return done;
    if (*at == kMigrations.size()) return {};
    return database.script(fmt::format("PRAGMA user_version = {}", kMigrations.size()).c_str());
}

} // namespace

Result<void> migrate_sqlite(Database& database)
{
    const auto at = version_of(database);
    if (!at) return std::unexpected(at.error());
    if (*at == kMigrations.size()) return {}; // an instance starts although others write
    return database.transaction([&] { return apply_migrations(database); });
}

Result<std::unique_ptr<Store>> SqliteStore::open(asio::io_context& io, const std::string& folder,
                                                 Metrics& metrics)
{
    std::error_code failed;
    if (std::filesystem::create_directories(folder, failed))
        std::filesystem::permissions(folder, std::filesystem::perms::owner_all, failed);
    if (failed) return ipc::fail(failed, "make the folder " + folder);
    const std::string path = folder + "/app.db";
    auto writer = Database::open(path, Durability::lasting);
    if (!writer) return std::unexpected(writer.error());
    if (auto done = migrate_sqlite(*writer); !done) {
        done.error().what = path + ": " + done.error().what;
        return std::unexpected(done.error());
    }
    auto reader = Database::open(path, Durability::lasting);
    if (!reader) return std::unexpected(reader.error());
    return std::make_unique<SqliteStore>(io, std::move(*writer), std::move(*reader), metrics);
}

SqliteStore::SqliteStore(asio::io_context& io, Database writer, Database reader, Metrics& metrics)
    : io_{io}, metrics_{metrics}, writer_{std::move(writer)}, reader_{std::move(reader)},
      write_pool_{io, "sqlite writer", 1, kMaxWaiting},
      read_pool_{io, "sqlite reader", 1, kMaxWaiting}
{
}

Task<void> SqliteStore::ping()
{
    return read(Operation::ping, [](Database& database) -> Result<void> {
        // Reads the file itself: `SELECT 1` would not.
        const auto rows = database.query("SELECT count(*) FROM sqlite_schema");
        if (!rows) return std::unexpected(rows.error());
        return {};
    });
}

std::vector<StoreState> SqliteStore::state() const
{
    const auto waiting = write_pool_.waiting() + read_pool_.waiting();
    const int busy = (write_pool_.waiting() > 0) + (read_pool_.waiting() > 0);
    return {{.name = "sqlite",
             .up = up_,
             .connections = 2,
             .busy = busy,
             .limit = 2,
             .waiting = static_cast<int>(waiting) - busy}};
}

asio::awaitable<void> SqliteStore::close()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // Whoever was promised an answer gets it; a limit, because another process may hold the file.
    const auto until = std::chrono::steady_clock::now() + kCloseLimit;
    asio::steady_timer timer{io_};
    while (write_pool_.waiting() + read_pool_.waiting() > 0 &&
           std::chrono::steady_clock::now() < until) {
        timer.expires_after(std::chrono::milliseconds{5});
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    write_pool_.stop(); // the files are closed by the destructor
    read_pool_.stop();
}

} // namespace cluster::app
