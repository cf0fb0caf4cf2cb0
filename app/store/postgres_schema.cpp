#include "app/store/postgres_schema.hpp"

#include <boost/asio/this_coro.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace cluster::app {
namespace {

struct Migration {
    const char* name;
    const char* sql;
};

// Number n (from 1) brings the tables from version n-1 to n. What is here has been released: it is
// never changed, a new one is added. Servers of the version before go on working on the new tables
// while they are replaced one by one, so a migration only adds. Ids are text in the "C" collation:
// they compare as bytes, and one that is no UUID is simply not found.
constexpr std::array kMigrations{
    Migration{"accounts, jobs and projects", R"(
CREATE TABLE users (
    id text COLLATE "C" PRIMARY KEY,
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL UNIQUE,
    name text NOT NULL,
    role text NOT NULL,
    password_hash text NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE refresh_tokens (
    hash text COLLATE "C" PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id text COLLATE "C" NOT NULL,
    expires_ms bigint NOT NULL,
    used boolean NOT NULL DEFAULT false
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

CREATE TABLE jobs (
    id text COLLATE "C" PRIMARY KEY,
    owner_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL,
    company text NOT NULL,
    location text NOT NULL,
    description text NOT NULL,
    status text COLLATE "C" NOT NULL,
    max_applications integer,
    applications integer NOT NULL DEFAULT 0,
    created_ms bigint NOT NULL,
    search_text text COLLATE "C" NOT NULL
);
CREATE INDEX jobs_newest ON jobs (created_ms DESC, id DESC);
CREATE INDEX jobs_status ON jobs (status, created_ms DESC, id DESC);
CREATE INDEX jobs_owner ON jobs (owner_id);

CREATE TABLE applications (
    id text COLLATE "C" PRIMARY KEY,
    job_id text COLLATE "C" NOT NULL REFERENCES jobs ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    cover_letter text NOT NULL,
    created_ms bigint NOT NULL,
    UNIQUE (job_id, user_id)
);
CREATE INDEX applications_user ON applications (user_id, created_ms DESC, id DESC);

CREATE TABLE application_history (
    application_id text COLLATE "C" NOT NULL REFERENCES applications ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL,
    job_id text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (application_id, event)
);
CREATE INDEX application_history_user ON application_history (user_id, at_ms DESC);

CREATE TABLE projects (
    id text COLLATE "C" PRIMARY KEY,
    owner_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL,
    content text NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    version bigint NOT NULL
);
CREATE INDEX projects_owner ON projects (owner_id, updated_ms DESC, id DESC);

CREATE TABLE collaborators (
    project_id text COLLATE "C" NOT NULL REFERENCES projects ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    role text COLLATE "C" NOT NULL,
    added_ms bigint NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX collaborators_user ON collaborators (user_id);
)"},
};
constexpr auto kNewest = static_cast<std::int64_t>(kMigrations.size());

/// Building an index over much data takes its time; who waits for another instance, too.
constexpr milliseconds kMigrationLimit{std::chrono::minutes{10}};
constexpr milliseconds kQuestionLimit{10'000};

// A number of our own, the same in every version.
#define CLUSTER_MIGRATION_LOCK "7161801206743"
constexpr const char* kLock = "SET statement_timeout = 0; "
                              "SELECT pg_advisory_lock(" CLUSTER_MIGRATION_LOCK ");";
constexpr PgStatement kUnlock{"migration_unlock",
                              "SELECT pg_advisory_unlock(" CLUSTER_MIGRATION_LOCK ")"};
constexpr PgStatement kThere{"migrations_there",
                             "SELECT to_regclass('schema_migrations') IS NOT NULL"};
constexpr PgStatement kVersion{"migrations_version",
                               "SELECT coalesce(max(version), 0) FROM schema_migrations"};
constexpr PgStatement kTimeout{"migration_timeout",
                               "SELECT set_config('statement_timeout', $1, false)"};
constexpr PgStatement kOldTimeout{"migration_old_timeout",
                                  "SELECT current_setting('statement_timeout')"};
constexpr const char* kTable = "CREATE TABLE IF NOT EXISTS schema_migrations (version integer "
                               "PRIMARY KEY, name text NOT NULL, "
                               "applied_at timestamptz NOT NULL DEFAULT now())";

/// The first value of the answer to one question.
asio::awaitable<PgResult<std::string>> ask(PgConnection& connection, const PgStatement& question)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    std::vector<PgCall> calls(1, PgCall{.statement = &question});
    const auto rows = co_await connection.run(std::move(calls), PgEffect::none, kQuestionLimit);
    if (!rows) co_return std::unexpected(rows.error());
    co_return std::string{rows->front().front().text(0)};
}

/// -1 when there are no tables at all.
asio::awaitable<PgResult<std::int64_t>> version_of(PgConnection& connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto there = co_await ask(connection, kThere);
    if (!there) co_return std::unexpected(there.error());
    if (*there != "t") co_return -1;
    const auto version = co_await ask(connection, kVersion);
    if (!version) co_return std::unexpected(version.error());
    co_return ipc::parse_number<std::int64_t>(*version).value_or(-1);
}

PgFailure too_new(std::int64_t version)
{
    return {.kind = Trouble::refused,
            .what = fmt::format("the tables are of version {}, this program knows them up to "
                                "version {}: a newer clusterapp has used this database",
                                version, kNewest)};
}

/// Under the lock.
asio::awaitable<PgResult<void>> apply_missing(PgConnection& connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto made = co_await connection.script(kTable, kMigrationLimit);
    if (!made) co_return made;
    const auto version = co_await version_of(connection);
    if (!version) co_return std::unexpected(version.error());
    if (*version > kNewest) co_return std::unexpected(too_new(*version));
    for (auto at = static_cast<std::size_t>(*version); at < kMigrations.size(); ++at) {
        const Migration& migration = kMigrations.at(at);
        std::string sql = fmt::format("BEGIN;{}\nINSERT INTO schema_migrations (version, name) "
                                      "VALUES ({}, '{}'); COMMIT;",
                                      migration.sql, at + 1, migration.name);
        auto done = co_await connection.script(std::move(sql), kMigrationLimit);
        if (!done) {
            done.error().what =
                fmt::format("migration {} ({}): {}", at + 1, migration.name, done.error().what);
            co_return done;
        }
    }
    co_return PgResult<void>{};
}

} // namespace

asio::awaitable<PgResult<void>> migrate_postgres(PgConnection& connection)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto version = co_await version_of(connection);
    if (!version) co_return std::unexpected(version.error());
    if (*version > kNewest) co_return std::unexpected(too_new(*version));
    if (*version == kNewest) co_return PgResult<void>{};

    const auto timeout = co_await ask(connection, kOldTimeout);
    if (!timeout) co_return std::unexpected(timeout.error());
    auto locked = co_await connection.script(kLock, kMigrationLimit);
    if (!locked) co_return locked;
    auto applied = co_await apply_missing(connection);
    // When it failed the connection is closed by its owner, and the lock goes with it.
    if (!applied) co_return applied;
    std::vector<PgCall> ending{{.statement = &kUnlock},
                               {.statement = &kTimeout, .values = {*timeout}}};
    const auto ended = co_await connection.run(std::move(ending), PgEffect::none, kQuestionLimit);
    if (!ended) co_return std::unexpected(ended.error());
    co_return PgResult<void>{};
}

} // namespace cluster::app
