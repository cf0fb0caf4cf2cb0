// What the engine's tests stand on: a folder of their own, a loop that is run until something is
// true, and a System whose calls can be made to fail while the rest is the real kernel.
#pragma once

#include "ipc/base/system.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

namespace cluster::tests {

struct Folder {
    std::string path = [] {
        std::string name = "/tmp/cluster-engine-XXXXXX";
        const char* const made = ::mkdtemp(name.data());
        REQUIRE(made != nullptr);
        return std::string{made};
    }();
    Folder() = default;
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

inline std::string content(const std::string& path)
{
    std::ifstream file{path, std::ios::binary};
    std::ostringstream all;
    all << file.rdbuf();
    return std::move(all).str();
}

/// Runs handlers until `condition` is true; the deadline is for tests that fail.
template <class Condition>
bool run_until(boost::asio::io_context& loop, Condition condition,
               std::chrono::seconds deadline = std::chrono::seconds{20})
{
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        loop.restart();
        loop.run_one_for(std::chrono::milliseconds{20});
    }
    return true;
}

/// What a call throws before or after which its daemon is killed.
struct Killed {};

/// The real kernel, of which single calls fail: `faults["splice"] = ENOSPC`.
class FaultySystem : public ipc::System {
public:
    std::map<std::string, int> faults;
    std::map<std::string, int> calls;
    /// The next one only.
    void fail_once(const std::string& call, int error) { once_[call] = error; }
    /// The n-th call about files and pipes from now on (1 is the next one) throws Killed, before or
    /// after it was made; 0: none does.
    void die_at(int nth, bool after)
    {
        dies_in_ = nth;
        dies_after_ = after;
    }

    ipc::Result<ipc::UniqueFd> open(const std::string& path, int flags, mode_t mode) override
    {
        if (const int error = enter("open")) return ipc::fail(error, "open " + path);
        return lived([&] { return real_.open(path, flags, mode); });
    }
    ipc::Result<struct stat> fstat(int fd) override
    {
        if (const int error = enter("fstat")) return ipc::fail(error, "fstat");
        return lived([&] { return real_.fstat(fd); });
    }
    ipc::Result<std::size_t> write(int fd, const void* from, std::size_t size) override
    {
        if (const int error = enter("write")) return ipc::fail(error, "write");
        return lived([&] { return real_.write(fd, from, size); });
    }
    ipc::Result<std::size_t> splice(int pipe, int out, off_t* at, std::size_t size) override
    {
        // Into a file or into another pipe.
        if (const int error = enter(at ? "splice" : "take")) return ipc::fail(error, "splice");
        return lived([&] { return real_.splice(pipe, out, at, size); });
    }
    ipc::Result<std::size_t> tee(int from, int to, std::size_t size) override
    {
        if (const int error = enter("tee")) return ipc::fail(error, "tee");
        return lived([&] { return real_.tee(from, to, size); });
    }
    ipc::Result<ipc::Pipe> pipe() override
    {
        if (const int error = enter("pipe")) return ipc::fail(error, "pipe");
        return real_.pipe();
    }
    ipc::Result<void> rename(const std::string& from, const std::string& to) override
    {
        if (const int error = enter("rename")) return ipc::fail(error, "rename");
        return lived([&] { return real_.rename(from, to); });
    }

    // The others never fail here.
    ipc::Result<void> fchown(int fd, uid_t uid, gid_t gid) override
    {
        return real_.fchown(fd, uid, gid);
    }
    ipc::Result<void> fsync(int fd) override { return real_.fsync(fd); }
    ipc::Result<void> ftruncate(int fd, off_t size) override
    {
        return lived([&] { return real_.ftruncate(fd, size); });
    }
    ipc::Result<void> reserve(int fd, off_t at, off_t size) override
    {
        if (const int error = enter("reserve")) return ipc::fail(error, "fallocate");
        return lived([&] { return real_.reserve(fd, at, size); });
    }
    ipc::Result<void> unlink(const std::string& path) override
    {
        return lived([&] { return real_.unlink(path); });
    }
    ipc::Result<void> make_directories(const std::string& path, mode_t mode) override
    {
        return real_.make_directories(path, mode);
    }
    ipc::Result<void> remove_directory(const std::string& path) override
    {
        return real_.remove_directory(path);
    }
    ipc::Result<std::string> getxattr(const std::string& path, const std::string& name) override
    {
        return real_.getxattr(path, name);
    }
    ipc::Result<std::vector<std::string>> list_directory(const std::string& path) override
    {
        return real_.list_directory(path);
    }
    ipc::Result<std::string> readlink(const std::string& path) override
    {
        return real_.readlink(path);
    }
    ipc::Result<std::string> read_file(const std::string& path) override
    {
        return real_.read_file(path);
    }
    ipc::Result<std::size_t> read_small(const char* path, std::span<char> into) override
    {
        return real_.read_small(path, into);
    }
    ipc::Result<std::size_t> read(int fd, void* into, std::size_t size) override
    {
        return lived([&] { return real_.read(fd, into, size); });
    }
    ipc::Result<std::size_t> pread(int fd, void* into, std::size_t size, off_t at) override
    {
        return lived([&] { return real_.pread(fd, into, size, at); });
    }
    ipc::Result<std::size_t> pwrite(int fd, const void* from, std::size_t size, off_t at) override
    {
        if (const int error = enter("pwrite")) return ipc::fail(error, "pwrite");
        return lived([&] { return real_.pwrite(fd, from, size, at); });
    }
    ipc::Result<void> kill(pid_t pid, int signal) override { return real_.kill(pid, signal); }
    ipc::Result<std::optional<ipc::ExitStatus>> wait(pid_t pid) override { return real_.wait(pid); }
    ipc::Result<std::optional<ipc::ExitStatus>> peek_exit(pid_t pid) override
    {
        return real_.peek_exit(pid);
    }
    std::optional<ipc::ExitStatus> exit_of(int pidfd) override { return real_.exit_of(pidfd); }
    ipc::Result<std::optional<std::pair<pid_t, ipc::ExitStatus>>> peek_any() override
    {
        return real_.peek_any();
    }
    ipc::Result<ipc::UniqueFd> pidfd_open(pid_t pid) override { return real_.pidfd_open(pid); }
    ipc::Result<int> sched_getaffinity() override { return real_.sched_getaffinity(); }

private:
    template <class Make>
    std::invoke_result_t<Make> lived(Make make)
    {
        const bool dies = dies_in_ > 0 && --dies_in_ == 0;
        if (dies && !dies_after_) throw Killed{};
        auto answer = make();
        if (dies) throw Killed{};
        return answer;
    }
    int enter(const std::string& call)
    {
        ++calls[call];
        if (const auto once = once_.extract(call)) return once.mapped();
        const auto fault = faults.find(call);
        return fault == faults.end() ? 0 : fault->second;
    }

    int dies_in_ = 0;
    bool dies_after_ = false;
    std::map<std::string, int> once_;
    ipc::LinuxSystem real_;
};

} // namespace cluster::tests
