// Descriptors 0, 1 and 2 of our programs.
#pragma once

namespace cluster::ipc {

/// Opens /dev/null where the caller left stdin, stdout or stderr closed. Else the next file or
/// socket would get that number, and what is printed would go into it. The first call of `main`.
void open_missing_standard_fds();

} // namespace cluster::ipc
