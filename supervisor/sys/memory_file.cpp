#include "supervisor/sys/memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

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

ipc::Result<ipc::UniqueFd> named_memory(const std::string& name, std::size_t size)
{
    remove_named_memory(name);
    ipc::UniqueFd memory{::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600)};
    if (!memory) return ipc::fail(errno, "shm_open " + name);
    // Room for all of it now: a page that cannot be had later is the end of us (SIGBUS).
    const int full = ::posix_fallocate(memory.get(), 0, static_cast<off_t>(size));
    if (full == 0) return memory;
    remove_named_memory(name);
    return ipc::fail(full, "fallocate " + name);
}

ipc::UniqueFd open_named_memory(const std::string& name)
{
    ipc::UniqueFd memory{::shm_open(name.c_str(), O_RDWR, 0)};
    struct stat about{};
    // Anybody may make one of any name.
    const bool ours = memory && ::fstat(memory.get(), &about) == 0 && S_ISREG(about.st_mode) &&
                      about.st_uid == ::geteuid() && (about.st_mode & 0077) == 0;
    return ours ? std::move(memory) : ipc::UniqueFd{};
}

void remove_named_memory(const std::string& name)
{
    ::shm_unlink(name.c_str());
}

} // namespace cluster::supervisor
