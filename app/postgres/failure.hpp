// Why PostgreSQL did not do something, and what may be done about it. Pure.
#pragma once

#include "app/base/trouble.hpp"

#include <expected>
#include <string>
#include <string_view>

namespace cluster::app {

/// What is at stake when the connection breaks before the answer.
enum class PgEffect {
    none,    ///< nothing is changed for good: a read, or a step of a transaction before its COMMIT
    commits, ///< what is changed holds when the answer comes
};

struct PgFailure {
    Trouble kind = Trouble::unavailable;
    std::string what;       ///< for people; never a password
    std::string state = ""; ///< SQLSTATE; "" when it is not the server who says so
    bool lost = false;      ///< the connection is of no use any more
    bool again = false;     ///< nothing was changed, and the same may work the next time
};

template <class T>
using PgResult = std::expected<T, PgFailure>;

/// What an error of the server means (postgresql.org/docs/15/errcodes-appendix.html).
[[nodiscard]] PgFailure pg_failure(std::string_view state, std::string what);

/// As `Result` has it.
[[nodiscard]] inline std::unexpected<ipc::Error> trouble(PgFailure failure)
{
    return trouble(failure.kind, std::move(failure.what));
}

} // namespace cluster::app
