// Files that lie in memory. Without a name (man 2 memfd_create): for what one process tells
// another, or its own next program. With one (man 7 shm_overview): for what outlives all processes
// of ours.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// `name` is for people who look at /proc/PID/fd. Close-on-exec. Errors: ENOMEM, EMFILE, ENFILE.
[[nodiscard]] ipc::Result<ipc::UniqueFd> memory_file(const char* name, std::string_view content);

/// A new one of `size` zeros, for this user alone, in place of one that is there; `name` begins
/// with a slash and has no other; for "" there is none. Close-on-exec. Errors: those of man 3
/// shm_open, and ENOSPC.
[[nodiscard]] ipc::Result<ipc::UniqueFd> named_memory(const std::string& name, std::size_t size);
/// One that this user has made; empty when there is none.
[[nodiscard]] ipc::UniqueFd open_named_memory(const std::string& name);
void remove_named_memory(const std::string& name);

} // namespace cluster::supervisor
