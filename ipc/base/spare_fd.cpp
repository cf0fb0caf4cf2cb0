#include "ipc/base/spare_fd.hpp"

#include <fcntl.h>

#include <cerrno>

namespace cluster::ipc {

void SpareFd::hold()
{
    if (fd_ >= 0) return;
    UniqueFd fresh{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    int none = -1;
    if (fresh && fd_.compare_exchange_strong(none, fresh.get())) (void)fresh.release();
}

bool SpareFd::give_up(int error)
{
    if (error != EMFILE && error != ENFILE) return false;
    return static_cast<bool>(take());
}

} // namespace cluster::ipc
