#pragma once

#include "ipc/base/system.hpp"

#include <cstdint>

namespace cluster::supervisor {

/// A new pipe, open for both ends in one descriptor, which does not block and never tells of an
/// end.
ipc::Result<ipc::UniqueFd> pipe_for_both(ipc::System& system);

/// Bytes that a pipe holds (FIONREAD); 0 for what is no pipe.
[[nodiscard]] std::uint64_t bytes_in_pipe(int fd);

/// Bytes that it can hold (man 2 F_GETPIPE_SZ); 0 for what is no pipe. Who writes may have to wait
/// when half of that is there: what does not fill a page may still take one.
[[nodiscard]] std::uint64_t pipe_capacity(int fd);
/// Whether it can hold as many from now on: not when more is there, nor beyond the user's share
/// (man 7 pipe, pipe-user-pages-soft).
bool set_pipe_capacity(int fd, std::uint64_t bytes);

} // namespace cluster::supervisor
