// The bytes of a log file in order, unpacked where it is packed, in bounded memory. The libraries
// are touched when the first packed file is read.
#pragma once

#include "cli/log_files.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace cluster::cli {

class LogBytes {
public:
    virtual ~LogBytes() = default;
    /// Up to `size` bytes; 0: the end. Errors: of read(2); illegal_byte_sequence for a file that is
    /// no packed one, or is damaged.
    virtual ipc::Result<std::size_t> read(char* into, std::size_t size) = 0;
};

/// Those of `log` from `offset` of its unpacked content on. `log` outlives them. What is packed is
/// unpacked from its beginning.
[[nodiscard]] ipc::Result<std::unique_ptr<LogBytes>>
log_bytes(ipc::System& system, const OpenLog& log, std::uint64_t offset);

} // namespace cluster::cli
