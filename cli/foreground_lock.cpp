#include "cli/foreground_lock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace cluster::cli {
namespace {

std::string path_in(const std::string& home)
{
    return home + "/foreground.lock";
}

/// On the whole file. The kernel lets go of it with the open file (man 2 fcntl_locking), however
/// its owner ends; asking for it, unlike flock, takes nothing for a moment.
struct flock whole_file()
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

} // namespace

HomeLock::HomeLock(const std::string& home) : home_{home}
{
    if (!home.starts_with('/')) return;
    made_home_ = ::access(home.c_str(), F_OK) != 0;
    if (!system_.make_directories(home, 0700)) return;
    auto file = system_.open(path_in(home), O_RDWR | O_CREAT, 0600);
    struct flock lock = whole_file();
    if (file && ::fcntl(file->get(), F_OFD_SETLK, &lock) == 0) file_ = std::move(*file);
}

HomeLock::~HomeLock()
{
    if (!file_) return;
    (void)system_.unlink(path_in(home_));
    if (made_home_) (void)system_.remove_directory(home_); // unless a daemon has been there
}

bool home_is_held(const std::string& home)
{
    ipc::LinuxSystem system;
    const auto file = system.open(path_in(home), O_RDWR, 0600);
    struct flock lock = whole_file();
    return file && ::fcntl(file->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

} // namespace cluster::cli
