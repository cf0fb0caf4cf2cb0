#include "app/base/pool.hpp"
#include "app/kv/key_value.hpp"
#include "app/sqlite/database.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

using Values = std::vector<std::optional<std::string>>;

constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS shared_values (key TEXT PRIMARY KEY, value TEXT NOT NULL,"
    " expires_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS shared_values_expiry ON shared_values (expires_ms);";
/// What has expired is never shown; this is only about the size of the file.
constexpr std::int64_t kSweepEveryMs = 60'000;
constexpr std::size_t kMaxWaiting = 10'000;

/// All of it is used from the pool's one thread.
class Table {
public:
    explicit Table(Database database) : database_{std::move(database)} {}

    Result<void> set(const std::string& key, const std::string& value, std::int64_t now,
                     std::int64_t life)
    {
        if (now - swept_ms_ >= kSweepEveryMs) {
            swept_ms_ = now;
            const auto swept =
                database_.run("DELETE FROM shared_values WHERE expires_ms <= ?1", {now});
            if (!swept) return std::unexpected(swept.error());
        }
        const auto written =
            database_.run("INSERT INTO shared_values (key, value, expires_ms) VALUES (?1, ?2, ?3)"
                          " ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
                          " expires_ms = excluded.expires_ms",
                          {std::string_view{key}, std::string_view{value}, now + life});
        if (!written) return std::unexpected(written.error());
        return {};
    }

    Result<Values> get(const std::vector<std::string>& keys, std::int64_t now)
    {
        Values values;
        for (const std::string& key : keys) {
            const auto rows = database_.query(
                "SELECT value FROM shared_values WHERE key = ?1 AND expires_ms > ?2",
                {std::string_view{key}, now});
            if (!rows) return std::unexpected(rows.error());
            if (rows->empty())
                values.emplace_back();
            else
                values.emplace_back(rows->front().text(0));
        }
        return values;
    }

    Result<bool> remove(const std::string& key, std::int64_t now)
    {
        // An expired one counts as gone, whether it has been swept or not.
        const auto removed =
            database_.query("DELETE FROM shared_values WHERE key = ?1 RETURNING expires_ms > ?2",
                            {std::string_view{key}, now});
        if (!removed) return std::unexpected(removed.error());
        return !removed->empty() && removed->front().number(0) != 0;
    }

    Result<void> ping()
    {
        const auto rows = database_.query("SELECT 1 FROM shared_values LIMIT 1");
        if (!rows) return std::unexpected(rows.error());
        return {};
    }

private:
    Database database_;
    std::int64_t swept_ms_ = 0;
};

class EmbeddedKeyValue final : public KeyValue {
public:
    EmbeddedKeyValue(asio::io_context& io, const ipc::Clock& clock, Database database)
        : clock_{clock}, table_{std::move(database)}, pool_{io, "shared values", 1, kMaxWaiting}
    {
    }
    ~EmbeddedKeyValue() override { pool_.stop(); }
    EmbeddedKeyValue(const EmbeddedKeyValue&) = delete;
    EmbeddedKeyValue& operator=(const EmbeddedKeyValue&) = delete;

    asio::awaitable<Result<void>> set(std::string key, std::string value,
                                      milliseconds life) override
    {
        auto work = [this, key = std::move(key), value = std::move(value), now = clock_.wall_ms(),
                     life = std::max<std::int64_t>(life.count(), 1)] {
            return table_.set(key, value, now, life);
        };
        auto done = pool_.run(std::move(work));
        co_return co_await std::move(done);
    }

    asio::awaitable<Result<Values>> get(std::vector<std::string> keys) override
    {
        auto work = [this, keys = std::move(keys), now = clock_.wall_ms()] {
            return table_.get(keys, now);
        };
        auto done = pool_.run(std::move(work));
        co_return co_await std::move(done);
    }

    asio::awaitable<Result<bool>> remove(std::string key) override
    {
        auto work = [this, key = std::move(key), now = clock_.wall_ms()] {
            return table_.remove(key, now);
        };
        auto done = pool_.run(std::move(work));
        co_return co_await std::move(done);
    }

    asio::awaitable<Result<void>> ping() override
    {
        auto work = [this] { return table_.ping(); };
        auto done = pool_.run(std::move(work));
        co_return co_await std::move(done);
    }

    [[nodiscard]] std::string_view form() const override { return "embedded"; }

private:
    const ipc::Clock& clock_;
    Table table_;
    Pool pool_; ///< ends before the table
};

} // namespace

Result<std::unique_ptr<KeyValue>>
make_embedded_key_value(asio::io_context& io, const ipc::Clock& clock, const std::string& path)
{
    auto database = Database::open(path, Durability::lasting);
    if (!database) return std::unexpected(database.error());
    if (const auto made = database->script(kSchema); !made) return std::unexpected(made.error());
    return std::make_unique<EmbeddedKeyValue>(io, clock, std::move(*database));
}

} // namespace cluster::app
