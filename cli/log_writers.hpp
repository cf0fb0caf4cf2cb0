// Which log files there are and who writes them, out of the daemon's answer to `describe`. Pure.
#pragma once

#include "ipc/wire/rpc.hpp"

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace cluster::cli {

/// One stream of one worker.
struct LogWriter {
    std::int64_t id = 0;
    bool error = false; ///< its stderr
    auto operator<=>(const LogWriter&) const = default;
};

/// A log file. With merge_logs, or one file for both streams, several write it.
struct WrittenLog {
    std::string path;
    std::string name;               ///< of the first writer's app
    std::vector<LogWriter> writers; ///< at least one
};

/// Those of `processes` that hold what was asked for. A combined file repeats what the files of the
/// two streams hold: it counts only where there is none of them.
[[nodiscard]] std::vector<WrittenLog> written_logs(const ipc::json& processes, bool out, bool err);

} // namespace cluster::cli
