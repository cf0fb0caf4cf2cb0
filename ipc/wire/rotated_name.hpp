// What a log file is called that was set aside: `<path>.<UTC as 20261122T113000.123Z>`, and with
// .zst or .gz behind it once it is compressed, so that names sort by time. While both are there the
// compressed one is complete. What ends in .tmp is half a compressed file.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// The name of a file set aside, taken apart.
struct RotatedName {
    std::string base;  ///< the name of the log file itself
    std::string stamp; ///< "20261122T113000.123Z"
    Compression compression = Compression::none;
    bool temporary = false; ///< being compressed, or left by who was killed at it
    bool operator==(const RotatedName&) const = default;
};

/// Empty: it is no name of ours. Works for a name and for a whole path.
[[nodiscard]] std::optional<RotatedName> parse_rotated(std::string_view name);

/// "20261122T113000.123Z". Times are milliseconds since 1970.
[[nodiscard]] std::string rotation_stamp(std::int64_t wall_ms);
/// The other way round; of a stamp that parse_rotated gave.
[[nodiscard]] std::int64_t stamp_time(std::string_view stamp);

/// ".zst", ".gz" or "".
[[nodiscard]] std::string_view compressed_suffix(Compression compression);

} // namespace cluster::ipc
