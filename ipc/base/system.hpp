// The kernel behind a seam: one virtual method per call that we use, named after it, returning a
// Result. Product code makes no such call itself, so that a test can play answers and fail the n-th
// one (`tests/support/scripted_system.hpp`). `LinuxSystem` states the EINTR rule once per call.
// Every descriptor is close-on-exec at birth.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/spare_fd.hpp"
#include "ipc/base/unique_fd.hpp"

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::ipc {

/// How a child ended (man 2 waitid).
struct ExitStatus {
    int code = 0;   ///< exit code; 0 when ended by a signal
    int signal = 0; ///< signal number; 0 when it exited by itself
    bool operator==(const ExitStatus&) const = default;
};

/// It has ended, and nobody is left who could tell how.
inline constexpr ExitStatus kUnknownExit{.code = -1, .signal = 0};

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};

class System {
public:
    virtual ~System() = default;

    // Files. Errors name the path.
    virtual Result<UniqueFd> open(const std::string& path, int flags, mode_t mode = 0644) = 0;
    virtual Result<struct stat> fstat(int fd) = 0;
    virtual Result<void> fchown(int fd, uid_t uid, gid_t gid) = 0;
    virtual Result<void> fsync(int fd) = 0;
    virtual Result<void> ftruncate(int fd, off_t size) = 0;
    /// Takes room on the disk for `size` bytes from `at` on, beyond the end too, without making the
    /// file longer (man 2 fallocate, FALLOC_FL_KEEP_SIZE).
    virtual Result<void> reserve(int fd, off_t at, off_t size) = 0;
    virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
    /// A file that is not there is no error.
    virtual Result<void> unlink(const std::string& path) = 0;
    /// With all parents; one that exists is no error. `mode` is for the ones made.
    virtual Result<void> make_directories(const std::string& path, mode_t mode = 0755) = 0;
    /// Errors when it is not there or not empty.
    virtual Result<void> remove_directory(const std::string& path) = 0;
    /// The value of an extended attribute (man 7 xattr), at most 256 bytes.
    virtual Result<std::string> getxattr(const std::string& path, const std::string& name) = 0;
    /// Names without "." and "..".
    virtual Result<std::vector<std::string>> list_directory(const std::string& path) = 0;
    virtual Result<std::string> readlink(const std::string& path) = 0;
    /// The whole file, for small ones and for /proc, whose files tell no size.
    virtual Result<std::string> read_file(const std::string& path) = 0;
    /// What of the file fits into `into`, without allocating: for the /proc reads that are many.
    virtual Result<std::size_t> read_small(const char* path, std::span<char> into) = 0;

    // Bytes. 0 from `read` is the end; EAGAIN comes back as an error with that code.
    virtual Result<std::size_t> read(int fd, void* into, std::size_t size) = 0;
    virtual Result<std::size_t> pread(int fd, void* into, std::size_t size, off_t at) = 0;
    virtual Result<std::size_t> write(int fd, const void* from, std::size_t size) = 0;
    /// Moves up to `size` bytes from a pipe to `out` without waiting; at `*at` when it is given.
    virtual Result<std::size_t> splice(int pipe, int out, off_t* at, std::size_t size) = 0;
    /// Copies up to `size` bytes from one pipe into another without consuming or waiting.
    virtual Result<std::size_t> tee(int from, int to, std::size_t size) = 0;
    virtual Result<std::size_t> pwrite(int fd, const void* from, std::size_t size, off_t at) = 0;
    /// Non-blocking read end, blocking write end.
    virtual Result<Pipe> pipe() = 0;

    // Processes.
    virtual Result<void> kill(pid_t pid, int signal) = 0;
    /// Reaps a child that has ended; empty when it still runs. ECHILD when it is not our child.
    virtual Result<std::optional<ExitStatus>> wait(pid_t pid) = 0;
    /// As `wait`, and leaves the child to be reaped. Empty, too, when it is not our child.
    virtual Result<std::optional<ExitStatus>> peek_exit(pid_t pid) = 0;
    /// How a process has ended that is not our child (PIDFD_GET_INFO, Linux 6.15); empty when that
    /// cannot be known.
    virtual std::optional<ExitStatus> exit_of(int pidfd) = 0;
    /// Any child that has ended; it is left to be reaped with `wait`.
    virtual Result<std::optional<std::pair<pid_t, ExitStatus>>> peek_any() = 0;
    virtual Result<UniqueFd> pidfd_open(pid_t pid) = 0;
    /// How many CPUs this process may run on.
    virtual Result<int> sched_getaffinity() = 0;
};

class LinuxSystem final : public System {
public:
    /// From now on there is a descriptor left for read_file, read_small and list_directory,
    /// whatever else is open: without /proc no worker could be told to stop.
    void keep_spare() { spare_.emplace().hold(); }

    Result<UniqueFd> open(const std::string& path, int flags, mode_t mode) override;
    Result<struct stat> fstat(int fd) override;
    Result<void> fchown(int fd, uid_t uid, gid_t gid) override;
    Result<void> fsync(int fd) override;
    Result<void> ftruncate(int fd, off_t size) override;
    Result<void> reserve(int fd, off_t at, off_t size) override;
    Result<void> rename(const std::string& from, const std::string& to) override;
    Result<void> unlink(const std::string& path) override;
    Result<void> make_directories(const std::string& path, mode_t mode) override;
    Result<void> remove_directory(const std::string& path) override;
    Result<std::string> getxattr(const std::string& path, const std::string& name) override;
    Result<std::vector<std::string>> list_directory(const std::string& path) override;
    Result<std::string> readlink(const std::string& path) override;
    Result<std::string> read_file(const std::string& path) override;
    Result<std::size_t> read_small(const char* path, std::span<char> into) override;
    Result<std::size_t> read(int fd, void* into, std::size_t size) override;
    Result<std::size_t> pread(int fd, void* into, std::size_t size, off_t at) override;
    Result<std::size_t> write(int fd, const void* from, std::size_t size) override;
    Result<std::size_t> splice(int pipe, int out, off_t* at, std::size_t size) override;
    Result<std::size_t> tee(int from, int to, std::size_t size) override;
    Result<std::size_t> pwrite(int fd, const void* from, std::size_t size, off_t at) override;
    Result<Pipe> pipe() override;
    Result<void> kill(pid_t pid, int signal) override;
    Result<std::optional<ExitStatus>> wait(pid_t pid) override;
    Result<std::optional<ExitStatus>> peek_exit(pid_t pid) override;
    std::optional<ExitStatus> exit_of(int pidfd) override;
    Result<std::optional<std::pair<pid_t, ExitStatus>>> peek_any() override;
    Result<UniqueFd> pidfd_open(pid_t pid) override;
    Result<int> sched_getaffinity() override;

private:
    std::optional<SpareFd> spare_;
};

} // namespace cluster::ipc
