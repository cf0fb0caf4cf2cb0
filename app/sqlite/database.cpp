#include "app/sqlite/database.hpp"

#include <fmt/format.h>

#include <sqlite3.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

namespace cluster::app {
namespace {

/// Several processes write in turns; waiting is unfair, so it is long (measured: up to 1 s with
/// four that do nothing else).
constexpr int kBusyMs = 5000;

Trouble kind_of_code(int code)
{
    switch (code & 0xFF) { // the primary code of an extended one
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return Trouble::overloaded;
    case SQLITE_CONSTRAINT:
        return Trouble::conflict;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_NOMEM:
        return Trouble::unavailable;
    default:
        return Trouble::refused;
    }
}

int bind(sqlite3_stmt* statement, int at, const SqlValue& value)
{
    if (const auto* const number = std::get_if<std::int64_t>(&value))
        return sqlite3_bind_int64(statement, at, *number);
    if (const auto* const real = std::get_if<double>(&value))
        return sqlite3_bind_double(statement, at, *real);
    if (const auto* const text = std::get_if<std::string_view>(&value))
        return sqlite3_bind_text64(statement, at, text->data() == nullptr ? "" : text->data(),
                                   text->size(), SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_null(statement, at);
}

SqlRow row_of(sqlite3_stmt* statement)
{
    std::vector<std::variant<std::nullptr_t, std::int64_t, double, std::string>> cells;
    const int columns = sqlite3_column_count(statement);
    cells.reserve(static_cast<std::size_t>(columns));
    for (int i = 0; i < columns; ++i) {
        switch (sqlite3_column_type(statement, i)) {
        case SQLITE_NULL:
            cells.emplace_back(nullptr);
            break;
        case SQLITE_INTEGER:
            cells.emplace_back(std::int64_t{sqlite3_column_int64(statement, i)});
            break;
        case SQLITE_FLOAT:
            cells.emplace_back(sqlite3_column_double(statement, i));
            break;
        default: {
            const auto* const text = sqlite3_column_text(statement, i); // before its size: man page
            const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, i));
            cells.emplace_back(std::string{reinterpret_cast<const char*>(text), size});
        }
        }
    }
    return SqlRow{std::move(cells)};
}

} // namespace

bool SqlRow::is_null(std::size_t column) const
{
    return std::holds_alternative<std::nullptr_t>(cells_.at(column));
}

std::int64_t SqlRow::number(std::size_t column) const
{
    const auto* const number = std::get_if<std::int64_t>(&cells_.at(column));
    return number == nullptr ? 0 : *number;
}

const std::string& SqlRow::text(std::size_t column) const
{
    static const std::string kNone;
    const auto* const text = std::get_if<std::string>(&cells_.at(column));
    return text == nullptr ? kNone : *text;
}

void Database::CloseDatabase::operator()(sqlite3* database) const
{
    sqlite3_close_v2(database);
}

void Database::EndStatement::operator()(sqlite3_stmt* statement) const
{
    sqlite3_finalize(statement);
}

std::unexpected<ipc::Error> Database::failure(std::string_view what) const
{
    const int code = sqlite3_extended_errcode(database_.get());
    return trouble(kind_of_code(code),
                   fmt::format("sqlite: {}: {}", what, sqlite3_errmsg(database_.get())));
}

Result<void> Database::prepare_file(Durability durability)
{
    // Going over to WAL needs the file for itself, and SQLite does not wait for that as it does for
    // everything else: of several processes that begin together all but one are told "locked".
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{kBusyMs};
    auto set = script("PRAGMA journal_mode=WAL");
    while (!set && kind_of(set.error()) == Trouble::overloaded &&
           std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
        set = script("PRAGMA journal_mode=WAL");
    }
    if (!set) return set;
    return script(durability == Durability::lasting
                      ? "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON"
                      : "PRAGMA synchronous=OFF");
}

Result<Database> Database::open(const std::string& path, Durability durability)
{
    // Made by us first: SQLite gives its WAL the rights of the file, and those must be 0600. One
    // that is there is not even opened: to close it would drop the locks that other connections of
    // this process have on it (man 2 fcntl), and another process would take the WAL away from under
    // them.
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST) return ipc::fail(errno, "open " + path);
    if (fd >= 0) ::close(fd);

    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(
        path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
        nullptr);
    Database database{handle};
    if (code != SQLITE_OK) return database.failure("open " + path);
    sqlite3_busy_timeout(handle, kBusyMs);
    if (auto set = database.prepare_file(durability); !set) {
        set.error().what = path + ": " + set.error().what;
        return std::unexpected(set.error());
    }
    return database;
}

Result<void> Database::script(const char* sql)
{
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
        return failure("script");
    return {};
}

Result<sqlite3_stmt*> Database::prepared(std::string_view sql, std::span<const SqlValue> values)
{
    auto found = statements_.find(sql);
    if (found == statements_.end()) {
        sqlite3_stmt* made = nullptr;
        if (sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                               SQLITE_PREPARE_PERSISTENT, &made, nullptr) != SQLITE_OK)
            return failure(sql);
        found = statements_.emplace(sql, Statement{made}).first;
    }
    sqlite3_stmt* const statement = found->second.get();
    int at = 0;
    for (const SqlValue& value : values)
        if (bind(statement, ++at, value) != SQLITE_OK) return failure(sql);
    return statement;
}

Result<std::int64_t> Database::run(std::string_view sql, std::initializer_list<SqlValue> values)
{
    const auto rows = query(sql, values);
    if (!rows) return std::unexpected(rows.error());
    return std::int64_t{sqlite3_changes64(database_.get())};
}

Result<std::vector<SqlRow>> Database::query(std::string_view sql,
                                            std::initializer_list<SqlValue> values)
{
    return query(sql, std::span{values.begin(), values.size()});
}

Result<std::vector<SqlRow>> Database::query(std::string_view sql, std::span<const SqlValue> values)
{
    const auto statement = prepared(sql, values);
    if (!statement) return std::unexpected(statement.error());
    std::vector<SqlRow> rows;
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(*statement)) == SQLITE_ROW)
        rows.push_back(row_of(*statement));
    // The message of a failure goes with the reset: read it first.
    auto failed = code == SQLITE_DONE ? std::unexpected{ipc::Error{}} : failure(sql);
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    if (code != SQLITE_DONE) return failed;
    return rows;
}

} // namespace cluster::app
