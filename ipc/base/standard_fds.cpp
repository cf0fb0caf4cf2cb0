#include "ipc/base/standard_fds.hpp"

#include "ipc/base/unique_fd.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace cluster::ipc {

void open_missing_standard_fds()
{
    while (true) {
        // The lowest free number is taken. Kept over exec: it is our children's stdin too.
        UniqueFd null{::open("/dev/null", O_RDWR)};
        if (!null || null.get() > STDERR_FILENO) return;
        (void)null.release(); // stays open for as long as the program runs
    }
}

} // namespace cluster::ipc
