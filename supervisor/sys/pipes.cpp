#include "supervisor/sys/pipes.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <string>

namespace cluster::supervisor {

ipc::Result<ipc::UniqueFd> pipe_for_both(ipc::System& system)
{
    const auto ends = system.pipe();
    if (!ends) return std::unexpected(ends.error());
    return system.open("/proc/self/fd/" + std::to_string(ends->read.get()), O_RDWR | O_NONBLOCK);
}

std::uint64_t bytes_in_pipe(int fd)
{
    int size = 0;
    return ::ioctl(fd, FIONREAD, &size) == 0 && size > 0 ? static_cast<std::uint64_t>(size) : 0;
}

std::uint64_t pipe_capacity(int fd)
{
    const int size = ::fcntl(fd, F_GETPIPE_SZ);
    return size > 0 ? static_cast<std::uint64_t>(size) : 0;
}

bool set_pipe_capacity(int fd, std::uint64_t bytes)
{
    return ::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0;
}

} // namespace cluster::supervisor
