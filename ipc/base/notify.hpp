// Tells whoever started us how far we are (man 3 sd_notify).
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"

#include <string>
#include <string_view>

namespace cluster::ipc {

/// Sends `state` ("READY=1", "STOPPING=1") as one datagram to `socket_path`; a leading '@' is an
/// abstract address. An empty path is nobody to tell: no error. Errors name the path.
[[nodiscard]] Result<void> notify(const std::string& socket_path, std::string_view state);

/// A datagram socket that is connected to `socket_path` and never waits, for who tells more than
/// once.
[[nodiscard]] Result<UniqueFd> connect_notify(const std::string& socket_path);

} // namespace cluster::ipc
