// The index beside a log file that says when which of its bytes were written, so that raw logs can
// be merged in time order and searched by time. The daemon appends to it, `clusterctl logs` reads
// it. Pure: values in, bytes out, and back.
//
// A record (offset, time) says: the bytes from its offset up to that of the next record were
// written at its time or later, up to the time of the next one. In the file a record is either
//   an anchor   0x00, offset as u64, wall milliseconds as u64, both little endian
//   a step      bytes (>= 1) and milliseconds (>= 0) since the record before, both LEB128
// A daemon begins with an anchor when it opens the log file, and writes one when the file has
// become shorter or the clock was set back. An anchor makes all records before it invalid that have
// its offset or a higher one: those bytes are gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

struct LogTime {
    std::uint64_t offset = 0; ///< in the log file, uncompressed
    std::int64_t wall_ms = 0; ///< since 1970, UTC
    bool operator==(const LogTime&) const = default;
};

/// The bytes of one record. `before`: the last one in the file; none: this one is an anchor, as it
/// is when it cannot be told as a step.
[[nodiscard]] std::string encode_log_time(LogTime time, const std::optional<LogTime>& before);

/// The valid records, ascending by offset. What is torn or makes no sense ends the file.
[[nodiscard]] std::vector<LogTime> decode_log_times(std::string_view bytes);

/// How many of the bytes are whole records: who appends cuts off what a killed writer left torn.
[[nodiscard]] std::size_t whole_log_times(std::string_view bytes);

/// Where the index of a log file is, below the folder of the logs of a home; device and inode are
/// those of stat(2).
[[nodiscard]] std::string log_times_name(std::uint64_t device, std::uint64_t inode);
/// The folder of all of them there.
inline constexpr std::string_view kLogTimesFolder = ".times";

} // namespace cluster::ipc
