// The last lines of a log file, read backwards from its end in blocks, and the join of such a
// history with lines that arrived while it was read.
#pragma once

#include "ipc/base/system.hpp"

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace cluster::cli {

/// The last `count` lines of the file without their newlines, oldest first; a last line that has
/// no newline yet counts. A file that is not there has no lines. Errors: open, fstat, pread.
[[nodiscard]] ipc::Result<std::vector<std::string>>
last_lines(ipc::System& system, const std::string& path, std::size_t count);

/// Bytes that the file has; 0 for one that is not there.
[[nodiscard]] off_t log_size(ipc::System& system, const std::string& path);

/// The lines behind the first `at` bytes; all of them when the file has become shorter. Otherwise
/// as `last_lines`.
[[nodiscard]] ipc::Result<std::vector<std::string>> lines_after(ipc::System& system,
                                                                const std::string& path, off_t at);

/// The lines of `read`, the end of a file, that come behind those `shown` last of it. All of them
/// when nothing of what was shown stands there.
[[nodiscard]] std::vector<std::string> lines_behind(std::vector<std::string> read,
                                                    const std::vector<std::string>& shown);

/// How many of the first lines of `live` the file held already when its end, `history`, was read:
/// the follower subscribes before it reads, so that no line is missing, and these would be doubled.
[[nodiscard]] std::size_t overlap(const std::vector<std::string>& history,
                                  const std::vector<std::string>& live);

} // namespace cluster::cli
