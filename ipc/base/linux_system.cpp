#include "ipc/base/system.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <memory>

namespace cluster::ipc {
namespace {

/// Calls again after EINTR: for calls that a signal handler may interrupt and that lose nothing.
template <class Call>
auto again(Call call)
{
    auto answer = call();
    while (answer < 0 && errno == EINTR)
        answer = call();
    return answer;
}

Result<void> done(int answer, const std::string& what)
{
    if (answer < 0) return fail(errno, what);
    return {};
}

Result<std::size_t> bytes(ssize_t answer, const char* what)
{
    if (answer < 0) return fail(errno, what);
    return static_cast<std::size_t>(answer);
}

ExitStatus exit_status(const siginfo_t& info)
{
    if (info.si_code == CLD_EXITED) return {.code = info.si_status, .signal = 0};
    return {.code = 0, .signal = info.si_status};
}

/// A file that is open for the length of one call. The spare descriptor makes room for it where
/// there is no other, and is held again afterwards.
class BriefFile {
public:
    BriefFile(std::optional<SpareFd>& spare, const char* path, int flags = O_RDONLY) : spare_{spare}
    {
        const auto open = [&] { return again([&] { return ::open(path, flags | O_CLOEXEC); }); };
        fd_.reset(open());
        if (!fd_ && spare_ && spare_->give_up(errno)) fd_.reset(open());
    }
    BriefFile(const BriefFile&) = delete;
    BriefFile& operator=(const BriefFile&) = delete;
    ~BriefFile()
    {
        fd_.reset();
        if (spare_) spare_->hold();
    }

    [[nodiscard]] explicit operator bool() const { return static_cast<bool>(fd_); }
    [[nodiscard]] int get() const { return fd_.get(); }
    [[nodiscard]] int release() { return fd_.release(); }

private:
    std::optional<SpareFd>& spare_;
    UniqueFd fd_;
};

} // namespace

Result<UniqueFd> LinuxSystem::open(const std::string& path, int flags, mode_t mode)
{
    const int fd = again([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
    if (fd < 0) return fail(errno, "open " + path);
    return UniqueFd{fd};
}

Result<struct stat> LinuxSystem::fstat(int fd)
{
    struct stat answer{};
    if (::fstat(fd, &answer) < 0) return fail(errno, "fstat");
    return answer;
}

Result<void> LinuxSystem::fchown(int fd, uid_t uid, gid_t gid)
{
    return done(::fchown(fd, uid, gid), "fchown");
}

Result<void> LinuxSystem::fsync(int fd)
{
    return done(again([&] { return ::fsync(fd); }), "fsync");
}

Result<void> LinuxSystem::ftruncate(int fd, off_t size)
{
    return done(again([&] { return ::ftruncate(fd, size); }), "ftruncate");
}

Result<void> LinuxSystem::reserve(int fd, off_t at, off_t size)
{
    return done(again([&] { return ::fallocate(fd, FALLOC_FL_KEEP_SIZE, at, size); }), "fallocate");
}

Result<void> LinuxSystem::rename(const std::string& from, const std::string& to)
{
    return done(::rename(from.c_str(), to.c_str()), "rename " + from + " to " + to);
}

Result<void> LinuxSystem::unlink(const std::string& path)
{
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return fail(errno, "unlink " + path);
}

Result<void> LinuxSystem::make_directories(const std::string& path, mode_t mode)
{
    for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        const std::string part = path.substr(0, end);
        if (::mkdir(part.c_str(), mode) < 0 && errno != EEXIST) {
            const int why = errno;
            struct stat there{};
            // A read-only or foreign parent answers EROFS or EACCES even when the folder is there.
            if (::stat(part.c_str(), &there) < 0 || !S_ISDIR(there.st_mode))
                return fail(why, "create directory " + part);
        }
        if (end == std::string::npos) break;
    }
    struct stat made{};
    if (::stat(path.c_str(), &made) < 0) return fail(errno, "create directory " + path);
    if (!S_ISDIR(made.st_mode)) return fail(ENOTDIR, "create directory " + path);
    return {};
}

Result<void> LinuxSystem::remove_directory(const std::string& path)
{
    return done(::rmdir(path.c_str()), "remove directory " + path);
}

Result<std::string> LinuxSystem::getxattr(const std::string& path, const std::string& name)
{
    std::array<char, 256> value;
    const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return fail(errno, "getxattr " + name + " of " + path);
    return std::string{value.data(), static_cast<std::size_t>(size)};
}

Result<std::vector<std::string>> LinuxSystem::list_directory(const std::string& path)
{
    BriefFile file{spare_, path.c_str(), O_RDONLY | O_DIRECTORY};
    if (!file) return fail(errno, "list directory " + path);
    const std::unique_ptr<DIR, int (*)(DIR*)> dir{::fdopendir(file.get()), ::closedir};
    if (!dir) return fail(errno, "list directory " + path);
    (void)file.release(); // the stream owns it now
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

Result<std::string> LinuxSystem::readlink(const std::string& path)
{
    std::array<char, 4096> target;
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size < 0) return fail(errno, "readlink " + path);
    return std::string{target.data(), static_cast<std::size_t>(size)};
}

Result<std::string> LinuxSystem::read_file(const std::string& path)
{
    const BriefFile file{spare_, path.c_str()};
    if (!file) return fail(errno, "open " + path);
    std::string text;
    std::array<char, 16384> chunk;
    while (true) {
        const auto size = read(file.get(), chunk.data(), chunk.size());
        if (!size) return fail(size.error().code, "read " + path);
        if (*size == 0) return text;
        text.append(chunk.data(), *size);
    }
}

Result<std::size_t> LinuxSystem::read_small(const char* path, std::span<char> into)
{
    const BriefFile file{spare_, path};
    if (!file) return fail(errno, std::string{"open "} + path);
    std::size_t filled = 0;
    // /proc hands out long lists a page at a time, so that only an empty read is the end.
    while (filled < into.size()) {
        const ssize_t got =
            again([&] { return ::read(file.get(), into.data() + filled, into.size() - filled); });
        if (got < 0) return fail(errno, std::string{"read "} + path);
        if (got == 0) break;
        filled += static_cast<std::size_t>(got);
    }
    return filled;
}

Result<std::size_t> LinuxSystem::read(int fd, void* into, std::size_t size)
{
    return bytes(again([&] { return ::read(fd, into, size); }), "read");
}

Result<std::size_t> LinuxSystem::pread(int fd, void* into, std::size_t size, off_t at)
{
    return bytes(again([&] { return ::pread(fd, into, size, at); }), "pread");
}

Result<std::size_t> LinuxSystem::write(int fd, const void* from, std::size_t size)
{
    return bytes(again([&] { return ::write(fd, from, size); }), "write");
}

Result<std::size_t> LinuxSystem::splice(int pipe, int out, off_t* at, std::size_t size)
{
    return bytes(again([&] { return ::splice(pipe, nullptr, out, at, size, SPLICE_F_NONBLOCK); }),
                 "splice");
}

Result<std::size_t> LinuxSystem::tee(int from, int to, std::size_t size)
{
    return bytes(again([&] { return ::tee(from, to, size, SPLICE_F_NONBLOCK); }), "tee");
}

Result<std::size_t> LinuxSystem::pwrite(int fd, const void* from, std::size_t size, off_t at)
{
    return bytes(again([&] { return ::pwrite(fd, from, size, at); }), "pwrite");
}

Result<Pipe> LinuxSystem::pipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) < 0) return fail(errno, "pipe");
    Pipe made{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
    // Only our end: the flag belongs to each end's own open file, and a worker that prints to a
    // non-blocking stdout loses bytes.
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) return fail(errno, "make pipe non-blocking");
    return made;
}

Result<void> LinuxSystem::kill(pid_t pid, int signal)
{
    return done(::kill(pid, signal), "kill " + std::to_string(pid));
}

Result<std::optional<ExitStatus>> LinuxSystem::wait(pid_t pid)
{
    siginfo_t info{};
    const int answer =
        again([&] { return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG); });
    if (answer < 0) return fail(errno, "wait for " + std::to_string(pid));
    if (info.si_pid == 0) return std::nullopt;
    return exit_status(info);
}

Result<std::optional<ExitStatus>> LinuxSystem::peek_exit(pid_t pid)
{
    siginfo_t info{};
    const int answer = again([&] {
        return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
    });
    if (answer < 0) return fail(errno, "wait for " + std::to_string(pid));
    if (info.si_pid == 0) return std::nullopt;
    return exit_status(info);
}

std::optional<ExitStatus> LinuxSystem::exit_of(int pidfd)
{
    // As in linux/pidfd.h of Linux 6.15, which older systems do not have.
    struct PidfdInfo {
        std::uint64_t mask;
        std::uint64_t cgroup_id;
        std::uint32_t ids[11];
        std::int32_t exit_code;
    };
    static_assert(sizeof(PidfdInfo) == 64);
    constexpr std::uint64_t kExit = 1U << 3U;
    PidfdInfo info{.mask = kExit, .cgroup_id = 0, .ids = {}, .exit_code = 0};
    if (::ioctl(pidfd, _IOWR(0xFF, 11, PidfdInfo), &info) < 0 || (info.mask & kExit) == 0)
        return std::nullopt;
    if (WIFSIGNALED(info.exit_code))
        return ExitStatus{.code = 0, .signal = WTERMSIG(info.exit_code)};
    return ExitStatus{.code = WEXITSTATUS(info.exit_code), .signal = 0};
}

Result<std::optional<std::pair<pid_t, ExitStatus>>> LinuxSystem::peek_any()
{
    siginfo_t info{};
    const int answer =
        again([&] { return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT); });
    if (answer < 0) return fail(errno, "wait for any child");
    if (info.si_pid == 0) return std::nullopt;
    return std::pair{info.si_pid, exit_status(info)};
}

Result<UniqueFd> LinuxSystem::pidfd_open(pid_t pid)
{
    const long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) return fail(errno, "pidfd_open " + std::to_string(pid));
    return UniqueFd{static_cast<int>(fd)};
}

Result<int> LinuxSystem::sched_getaffinity()
{
    // The raw call answers how many bytes it wrote; glibc's cpu_set_t ends at 1024 CPUs.
    std::array<unsigned long, 128> mask{};
    const long size = ::syscall(SYS_sched_getaffinity, 0, sizeof mask, mask.data());
    if (size < 0) return fail(errno, "sched_getaffinity");
    int cpus = 0;
    for (const unsigned long word : mask)
        cpus += std::popcount(word);
    return cpus;
}

} // namespace cluster::ipc
