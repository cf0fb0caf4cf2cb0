// Writes the index of each log file that says when which of its bytes were written (the form is in
// ipc/wire/log_times.hpp). One file per log file below `logs/.times`, named after the log file's
// device and inode, so that it stays with it over a rotation. It is opened for each record and
// closed again: a hundred workers at rest cost nothing.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/log_times.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace cluster::supervisor {

using FileId = std::pair<std::uint64_t, std::uint64_t>; ///< device and inode (man 2 stat)

/// What is remembered of the index of one open log file.
struct LogTimesState {
    FileId file;
    std::optional<ipc::LogTime> last; ///< record in the index; empty: the next one is an anchor
    std::int64_t not_before_ms = 0;   ///< after a failure
};

class LogTimes {
public:
    /// `folder` is that of the logs.
    LogTimes(ipc::System& system, const ipc::Clock& clock, std::string folder);

    /// Bytes were just written at `offset` and behind it. At most one record in 10 ms; that one
    /// cannot be written is no error: readers do without.
    void note(LogTimesState& state, std::uint64_t offset);
    /// The log file is gone.
    void forget(FileId file);
    /// Removes the index of every log file that is not among `there`.
    void sweep(const std::set<FileId>& there);

private:
    [[nodiscard]] std::string path_of(FileId file) const;
    ipc::Result<void> append(LogTimesState& state, ipc::LogTime time);
    ipc::Result<ipc::UniqueFd> open(const LogTimesState& state);

    ipc::System& system_;
    const ipc::Clock& clock_;
    std::string folder_;
};

} // namespace cluster::supervisor
