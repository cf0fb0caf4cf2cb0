#include "supervisor/engine/relieved_files.hpp"

namespace cluster::supervisor {

using ipc::Result;

// About files.

Result<ipc::UniqueFd> RelievedFiles::open(const std::string& path, int flags, mode_t mode)
{
    return relieved(path, [&] { return system_.open(path, flags, mode); });
}

Result<struct stat> RelievedFiles::fstat(int fd)
{
    return relieved(fd, [&] { return system_.fstat(fd); });
}

Result<void> RelievedFiles::fchown(int fd, uid_t uid, gid_t gid)
{
    return relieved(fd, [&] { return system_.fchown(fd, uid, gid); });
}

Result<void> RelievedFiles::fsync(int fd)
{
    return relieved(fd, [&] { return system_.fsync(fd); });
}

Result<void> RelievedFiles::ftruncate(int fd, off_t size)
{
    return relieved(fd, [&] { return system_.ftruncate(fd, size); });
}

Result<void> RelievedFiles::reserve(int fd, off_t at, off_t size)
{
    return relieved(fd, [&] { return system_.reserve(fd, at, size); });
}

Result<void> RelievedFiles::rename(const std::string& from, const std::string& to)
{
    return relieved(from, [&] { return system_.rename(from, to); });
}

Result<void> RelievedFiles::unlink(const std::string& path)
{
    return relieved(path, [&] { return system_.unlink(path); });
}

Result<void> RelievedFiles::make_directories(const std::string& path, mode_t mode)
{
    return relieved(path, [&] { return system_.make_directories(path, mode); });
}

Result<void> RelievedFiles::remove_directory(const std::string& path)
{
    return relieved(path, [&] { return system_.remove_directory(path); });
}

Result<std::string> RelievedFiles::getxattr(const std::string& path, const std::string& name)
{
    return relieved(path, [&] { return system_.getxattr(path, name); });
}

Result<std::vector<std::string>> RelievedFiles::list_directory(const std::string& path)
{
    return relieved(path, [&] { return system_.list_directory(path); });
}

Result<std::string> RelievedFiles::readlink(const std::string& path)
{
    return relieved(path, [&] { return system_.readlink(path); });
}

Result<std::string> RelievedFiles::read_file(const std::string& path)
{
    return relieved(path, [&] { return system_.read_file(path); });
}

Result<std::size_t> RelievedFiles::pread(int fd, void* into, std::size_t size, off_t at)
{
    return relieved(fd, [&] { return system_.pread(fd, into, size, at); });
}

Result<std::size_t> RelievedFiles::write(int fd, const void* from, std::size_t size)
{
    return relieved(fd, [&] { return system_.write(fd, from, size); });
}

Result<std::size_t> RelievedFiles::pwrite(int fd, const void* from, std::size_t size, off_t at)
{
    return relieved(fd, [&] { return system_.pwrite(fd, from, size, at); });
}

/// Without a place in it, `out` is a pipe.
Result<std::size_t> RelievedFiles::splice(int pipe, int out, off_t* at, std::size_t size)
{
    if (!at) return system_.splice(pipe, out, at, size);
    return relieved(out, [&] { return system_.splice(pipe, out, at, size); });
}

// About all else.

Result<std::size_t> RelievedFiles::read_small(const char* path, std::span<char> into)
{
    return system_.read_small(path, into);
}

Result<std::size_t> RelievedFiles::read(int fd, void* into, std::size_t size)
{
    return system_.read(fd, into, size);
}

Result<std::size_t> RelievedFiles::tee(int from, int to, std::size_t size)
{
    return system_.tee(from, to, size);
}

Result<ipc::Pipe> RelievedFiles::pipe()
{
    return system_.pipe();
}

Result<void> RelievedFiles::kill(pid_t pid, int signal)
{
    return system_.kill(pid, signal);
}

Result<std::optional<ipc::ExitStatus>> RelievedFiles::wait(pid_t pid)
{
    return system_.wait(pid);
}

Result<std::optional<ipc::ExitStatus>> RelievedFiles::peek_exit(pid_t pid)
{
    return system_.peek_exit(pid);
}

std::optional<ipc::ExitStatus> RelievedFiles::exit_of(int pidfd)
{
    return system_.exit_of(pidfd);
}

Result<std::optional<std::pair<pid_t, ipc::ExitStatus>>> RelievedFiles::peek_any()
{
    return system_.peek_any();
}

Result<ipc::UniqueFd> RelievedFiles::pidfd_open(pid_t pid)
{
    return system_.pidfd_open(pid);
}

Result<int> RelievedFiles::sched_getaffinity()
{
    return system_.sched_getaffinity();
}

} // namespace cluster::supervisor
