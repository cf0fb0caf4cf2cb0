#pragma once

#include "ipc/base/system.hpp"

#include <cstdint>

namespace cluster::supervisor {

/// A new pipe, open for both ends in one descriptor, which does not block and never tells of an
/// end.
ipc::Result<ipc::UniqueFd> pipe_for_both(ipc::System& system);

/// Bytes that a pipe holds (FIONREAD); 0 for what is no pipe.
[[nodiscard]] std::uint64_t bytes_in_pipe(int fd);

} // namespace cluster::supervisor
