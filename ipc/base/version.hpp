// The version of this build, in one translation unit: everything else is the same object code in
// every version.
#pragma once

namespace cluster::ipc {

/// "1.2.3"
[[nodiscard]] const char* version();

} // namespace cluster::ipc
