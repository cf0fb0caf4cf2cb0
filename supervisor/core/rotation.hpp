// Setting log files aside: when it is due, what the file is called from then on, and which of those
// that lie there go. Pure: names, sizes and times in, decisions out; engine/log_rotation does it.
#pragma once

#include "ipc/wire/app_spec.hpp"
#include "ipc/wire/rotated_name.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

using ipc::compressed_suffix;
using ipc::parse_rotated;
using ipc::RotatedName;
using ipc::rotation_stamp;
using ipc::stamp_time;

/// One log file set aside, in one form or, for a moment, in several.
struct RotatedFile {
    std::string stamp;
    std::vector<std::string> names; ///< all that belong to it, temporary ones too
    std::string plain;              ///< the one of them that is not compressed; "" none
};

/// Those of the log file `base` among the names of its folder, oldest first.
[[nodiscard]] std::vector<RotatedFile> rotated_files(std::string_view base,
                                                     const std::vector<std::string>& names);

/// Halves of compressed files that nobody will complete: what they were made from is not there.
[[nodiscard]] std::vector<std::string> leftovers(std::string_view base,
                                                 const std::vector<std::string>& names);

/// A stamp for what is set aside now: later than all before, also when the clock was set back.
[[nodiscard]] std::string next_stamp(const std::vector<RotatedFile>& before, std::int64_t wall_ms);

/// How many of the oldest of `files` are more than the rule keeps.
[[nodiscard]] std::size_t surplus(const std::vector<RotatedFile>& files, const ipc::Rotation& rule);

/// The period of a rule by time that a moment lies in. Calendar ones are in local time.
struct Period {
    std::int64_t begin_ms = 0;
    std::int64_t end_ms = 0;
};
[[nodiscard]] Period period_of(const ipc::Rotation& rule, std::int64_t wall_ms);

/// A file on the host that may go when all logs together are too much.
struct CappedFile {
    std::string stamp;
    std::string path;
    std::uint64_t bytes = 0;
};
/// Which files go so that no more than `cap` bytes are left, oldest first. `current`: bytes of the
/// files that are being written, which never go.
[[nodiscard]] std::vector<CappedFile> above_cap(std::vector<CappedFile> files,
                                                std::uint64_t current, std::uint64_t cap);

} // namespace cluster::supervisor
