#include "ipc/base/spare_fd.hpp"

#include <fcntl.h>

#include <cerrno>

namespace cluster::ipc {

void SpareFd::hold()
{
    if (!fd_) fd_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool SpareFd::give_up(int error)
{
    if (!fd_ || (error != EMFILE && error != ENFILE)) return false;
    fd_.reset();
    return true;
}

} // namespace cluster::ipc
