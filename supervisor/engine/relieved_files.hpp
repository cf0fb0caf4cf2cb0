// The kernel as the log pump sees it: calls about files go through a LoopRelief, those about pipes
// and processes straight on.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/engine/loop_relief.hpp"

#include <string>
#include <vector>

namespace cluster::supervisor {

class RelievedFiles final : public ipc::System {
public:
    /// Without `relief` it is `system`.
    RelievedFiles(ipc::System& system, LoopRelief* relief) : system_{system}, relief_{relief} {}

    ipc::Result<ipc::UniqueFd> open(const std::string& path, int flags, mode_t mode) override;
    ipc::Result<struct stat> fstat(int fd) override;
    ipc::Result<void> fchown(int fd, uid_t uid, gid_t gid) override;
    ipc::Result<void> fsync(int fd) override;
    ipc::Result<void> ftruncate(int fd, off_t size) override;
    ipc::Result<void> reserve(int fd, off_t at, off_t size) override;
    ipc::Result<void> rename(const std::string& from, const std::string& to) override;
    ipc::Result<void> unlink(const std::string& path) override;
    ipc::Result<void> make_directories(const std::string& path, mode_t mode) override;
    ipc::Result<void> remove_directory(const std::string& path) override;
    ipc::Result<std::string> getxattr(const std::string& path, const std::string& name) override;
    ipc::Result<std::vector<std::string>> list_directory(const std::string& path) override;
    ipc::Result<std::string> readlink(const std::string& path) override;
    ipc::Result<std::string> read_file(const std::string& path) override;
    ipc::Result<std::size_t> read_small(const char* path, std::span<char> into) override;
    ipc::Result<std::size_t> read(int fd, void* into, std::size_t size) override;
    ipc::Result<std::size_t> pread(int fd, void* into, std::size_t size, off_t at) override;
    ipc::Result<std::size_t> write(int fd, const void* from, std::size_t size) override;
    ipc::Result<std::size_t> splice(int pipe, int out, off_t* at, std::size_t size) override;
    ipc::Result<std::size_t> tee(int from, int to, std::size_t size) override;
    ipc::Result<std::size_t> pwrite(int fd, const void* from, std::size_t size, off_t at) override;
    ipc::Result<ipc::Pipe> pipe() override;
    ipc::Result<void> kill(pid_t pid, int signal) override;
    ipc::Result<std::optional<ipc::ExitStatus>> wait(pid_t pid) override;
    ipc::Result<std::optional<ipc::ExitStatus>> peek_exit(pid_t pid) override;
    std::optional<ipc::ExitStatus> exit_of(int pidfd) override;
    ipc::Result<std::optional<std::pair<pid_t, ipc::ExitStatus>>> peek_any() override;
    ipc::Result<ipc::UniqueFd> pidfd_open(pid_t pid) override;
    ipc::Result<int> sched_getaffinity() override;

private:
    template <class About, class Make>
    auto relieved(const About& about, Make&& make)
    {
        return relief_ ? relief_->call(about, std::forward<Make>(make))
                       : std::forward<Make>(make)();
    }

    ipc::System& system_;
    LoopRelief* relief_;
};

} // namespace cluster::supervisor
