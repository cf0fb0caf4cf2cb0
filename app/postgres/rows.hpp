// The rows of one answer. Values come as text, as the server sends them.
#pragma once

#include "ipc/base/text.hpp"

#include <libpq-fe.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace cluster::app {

/// Looks into a PgRows, which must outlive it. Columns count from 0.
class PgRow {
public:
    PgRow(const PGresult* result, int row) : result_{result}, row_{row} {}

    [[nodiscard]] bool is_null(std::size_t column) const
    {
        return PQgetisnull(result_, row_, static_cast<int>(column)) != 0;
    }
    /// "" for NULL.
    [[nodiscard]] std::string_view text(std::size_t column) const
    {
        const int at = static_cast<int>(column);
        return {PQgetvalue(result_, row_, at),
                static_cast<std::size_t>(PQgetlength(result_, row_, at))};
    }
    /// 0 for what is no number.
    [[nodiscard]] std::int64_t number(std::size_t column) const
    {
        return ipc::parse_number<std::int64_t>(text(column)).value_or(0);
    }
    [[nodiscard]] bool flag(std::size_t column) const { return text(column) == "t"; }

private:
    const PGresult* result_;
    int row_;
};

class PgRows {
public:
    PgRows() = default;
    explicit PgRows(PGresult* result) : result_{result} {}

    [[nodiscard]] std::size_t size() const
    {
        return static_cast<std::size_t>(PQntuples(result_.get()));
    }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] PgRow operator[](std::size_t row) const
    {
        return {result_.get(), static_cast<int>(row)};
    }
    [[nodiscard]] PgRow front() const { return (*this)[0]; }
    /// How many rows an INSERT, UPDATE or DELETE changed.
    [[nodiscard]] std::int64_t changed() const
    {
        return ipc::parse_number<std::int64_t>(PQcmdTuples(result_.get())).value_or(0);
    }

private:
    struct Clear {
        void operator()(PGresult* result) const { PQclear(result); }
    };
    std::unique_ptr<PGresult, Clear> result_;
};

} // namespace cluster::app
