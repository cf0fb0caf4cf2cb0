// What an update of the daemon has come to. Pure: the daemon's answers in, text out.
#pragma once

#include "cli/context.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

/// Pids of the processes that run, by the id of their row.
using Running = std::map<std::int64_t, std::int64_t>;
/// From the processes of `list`.
[[nodiscard]] Running running_in(const json& processes);

struct UpdateReport {
    std::string from, to; ///< versions
    bool ok = false;
    std::string reason;                   ///< why the old daemon went on
    std::optional<std::int64_t> gap_ms{}; ///< empty: nobody has seen both ends of it
    std::size_t untouched = 0;            ///< workers with the same process as before
    std::vector<std::int64_t> changed{};  ///< ids of those with another one, or none
};

/// `outcome` is member `upgrade` of the answer of `ping` (docs/protocol.md).
[[nodiscard]] UpdateReport report_update(const json& outcome, const Running& before,
                                         const Running& after);
/// What stands in for the outcome when the daemons were killed in the middle: `begun` is the answer
/// to the request (null: none came), `version` serves now.
[[nodiscard]] json outcome_without_word(const json& begun, const std::string& version);
/// "clusterd 0.1.0 -> 0.1.1, 12 workers untouched, gap 8 ms", or what went wrong.
[[nodiscard]] std::string update_text(const UpdateReport& report);
[[nodiscard]] json update_json(const UpdateReport& report);

} // namespace cluster::cli
