#include "supervisor/sys/shared_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace cluster::supervisor {

ipc::Result<SharedMemory> SharedMemory::map(ipc::UniqueFd memfd, std::size_t size)
{
    // Beyond the end of the file a touch would be the end of us (SIGBUS).
    if (::ftruncate(memfd.get(), static_cast<off_t>(size)) != 0)
        return ipc::fail(errno, "ftruncate of memory");
    void* const bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
    if (bytes == MAP_FAILED) return ipc::fail(errno, "mmap");
    SharedMemory memory;
    memory.memfd_ = std::move(memfd);
    memory.bytes_ = bytes;
    memory.size_ = size;
    return memory;
}

SharedMemory::~SharedMemory()
{
    if (bytes_) ::munmap(bytes_, size_);
}

} // namespace cluster::supervisor
