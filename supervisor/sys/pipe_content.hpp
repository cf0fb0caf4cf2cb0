#pragma once

#include <cstdint>

namespace cluster::supervisor {

/// Bytes that a pipe holds (FIONREAD); 0 for what is no pipe.
[[nodiscard]] std::uint64_t bytes_in_pipe(int fd);

} // namespace cluster::supervisor
