// One connection to an SQLite file that several processes of one host share (WAL, busy timeout).
// It blocks, so it is used from one thread of a Pool and never from the loop.
#pragma once

#include "app/base/trouble.hpp"

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace cluster::app {

/// What a statement is given for its ?1, ?2, … Text is not copied: it must outlive the call.
using SqlValue = std::variant<std::nullptr_t, std::int64_t, double, std::string_view>;

/// One row of an answer. Columns count from 0.
class SqlRow {
public:
    explicit SqlRow(std::vector<std::variant<std::nullptr_t, std::int64_t, double, std::string>> c)
        : cells_{std::move(c)}
    {
    }
    [[nodiscard]] bool is_null(std::size_t column) const;
    [[nodiscard]] std::int64_t number(std::size_t column) const;     ///< 0 for what is none
    [[nodiscard]] const std::string& text(std::size_t column) const; ///< "" for what is none

private:
    std::vector<std::variant<std::nullptr_t, std::int64_t, double, std::string>> cells_;
};

/// `lasting`: what was committed survives the process and a power cut after a moment
/// (synchronous=NORMAL: a power cut may take the last commits, never the file's soundness).
/// `passing`: for counters whose loss at a power cut does not matter.
enum class Durability { lasting, passing };

class Database {
public:
    /// Creates the file, 0600, when it is missing. Errors name the path.
    [[nodiscard]] static Result<Database> open(const std::string& path, Durability durability);

    /// Several statements without values, parted by semicolons.
    Result<void> script(const char* sql);
    /// One statement; how many rows it changed. Prepared once per text of `sql`.
    Result<std::int64_t> run(std::string_view sql, std::initializer_list<SqlValue> values = {});
    Result<std::vector<SqlRow>> query(std::string_view sql,
                                      std::initializer_list<SqlValue> values = {});
    /// The same, for values whose number is known only when it runs.
    Result<std::vector<SqlRow>> query(std::string_view sql, std::span<const SqlValue> values);

    /// BEGIN IMMEDIATE, `work()`, then COMMIT; ROLLBACK when `work` failed. `work` returns a
    /// Result.
    template <class Work>
    std::invoke_result_t<Work> transaction(Work work)
    {
        if (auto begun = run("BEGIN IMMEDIATE"); !begun) return std::unexpected(begun.error());
        auto outcome = work();
        const auto ended = run(outcome ? "COMMIT" : "ROLLBACK");
        if (outcome && !ended) {
            static_cast<void>(run("ROLLBACK"));
            return std::unexpected(ended.error());
        }
        return outcome;
    }

private:
    struct CloseDatabase {
        void operator()(sqlite3* database) const;
    };
    struct EndStatement {
        void operator()(sqlite3_stmt* statement) const;
    };
    using Statement = std::unique_ptr<sqlite3_stmt, EndStatement>;

    explicit Database(sqlite3* database) : database_{database} {}
    Result<void> prepare_file(Durability durability);
    Result<sqlite3_stmt*> prepared(std::string_view sql, std::span<const SqlValue> values);
    [[nodiscard]] std::unexpected<ipc::Error> failure(std::string_view what) const;

    std::unique_ptr<sqlite3, CloseDatabase> database_;
    std::map<std::string, Statement, std::less<>> statements_; ///< ended before the database
};

} // namespace cluster::app
