#include "supervisor/sys/memory_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace cluster::supervisor {

ipc::Result<ipc::UniqueFd> memory_file(const char* name, std::string_view content)
{
    ipc::UniqueFd file{::memfd_create(name, MFD_CLOEXEC)};
    if (!file) return ipc::fail(errno, "memfd_create");
    while (!content.empty()) {
        const ssize_t size = ::write(file.get(), content.data(), content.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return ipc::fail(size < 0 ? errno : EIO, "write to memory");
        content.remove_prefix(static_cast<std::size_t>(size));
    }
    return file;
}

} // namespace cluster::supervisor
