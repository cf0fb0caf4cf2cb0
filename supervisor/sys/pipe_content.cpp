#include "supervisor/sys/pipe_content.hpp"

#include <sys/ioctl.h>

namespace cluster::supervisor {

std::uint64_t bytes_in_pipe(int fd)
{
    int size = 0;
    return ::ioctl(fd, FIONREAD, &size) == 0 && size > 0 ? static_cast<std::uint64_t>(size) : 0;
}

} // namespace cluster::supervisor
