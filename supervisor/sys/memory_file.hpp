// A file without a name that lies in memory (man 2 memfd_create): for what one process tells
// another, or its own next program.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <string_view>

namespace cluster::supervisor {

/// `name` is for people who look at /proc/PID/fd. Close-on-exec. Errors: ENOMEM, EMFILE, ENFILE.
[[nodiscard]] ipc::Result<ipc::UniqueFd> memory_file(const char* name, std::string_view content);

} // namespace cluster::supervisor
