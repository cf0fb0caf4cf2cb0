#include "ipc/base/version.hpp"

namespace cluster::ipc {

const char* version()
{
    return CLUSTER_VERSION;
}

} // namespace cluster::ipc
