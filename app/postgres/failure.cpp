#include "app/postgres/failure.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace cluster::app {
namespace {

struct Meaning {
    std::string_view state; ///< the whole of it, or its first characters
    Trouble kind;
    bool lost;
    bool again;
};

using enum Trouble;

// clang-format off
constexpr std::array kMeanings{
    // state    kind         lost   again   the first one that fits counts
    Meaning{"40001", conflict,    false, true},  // serialization failure
    Meaning{"40P01", conflict,    false, true},  // deadlock
    Meaning{"23",    conflict,    false, false}, // a constraint: the rows of others are in the way
    Meaning{"57014", overloaded,  false, false}, // statement_timeout
    Meaning{"55P03", overloaded,  false, false}, // lock_timeout
    Meaning{"57P",   unavailable, true,  true},  // shut down, crashed, starting up
    Meaning{"08",    unavailable, true,  true},  // connection
    Meaning{"25006", unavailable, true,  true},  // read-only: it was the primary until a moment ago
    Meaning{"25P0",  unavailable, true,  true},  // idle in transaction for too long
    Meaning{"53",    unavailable, false, false}, // disk full, out of memory, too many connections
    Meaning{"58",    unavailable, false, false}, // an error of its disk
    // An internal error ends its transaction. PostgreSQL 15 meets one when row locks cross each
    // other: "new multixact has more than one updating member".
    Meaning{"XX000", refused,     false, true},
    Meaning{"0A000", refused,     true,  false}, // a plan that does not fit changed tables any more
    Meaning{"26000", refused,     true,  false}, // a prepared statement is gone
};
// clang-format on

} // namespace

PgFailure pg_failure(std::string_view state, std::string what)
{
    const auto* const meaning = std::ranges::find_if(
        kMeanings, [&](const Meaning& row) { return state.starts_with(row.state); });
    PgFailure failure{.kind = refused, .what = std::move(what), .state = std::string{state}};
    if (meaning == kMeanings.end()) return failure;
    failure.kind = meaning->kind;
    failure.lost = meaning->lost;
    failure.again = meaning->again;
    return failure;
}

} // namespace cluster::app
