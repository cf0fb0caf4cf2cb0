// LinuxSystem against the real kernel, in a temporary folder.
#include "ipc/base/system.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

using namespace cluster::ipc;

namespace {

struct Folder {
    std::string path = [] {
        std::string name = "/tmp/cluster-base-XXXXXX";
        return std::string{::mkdtemp(name.data())};
    }();
    ~Folder() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path + "/" + name; }
};

void put(System& system, const std::string& path, const std::string& text)
{
    auto file = system.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(file);
    REQUIRE(system.write(file->get(), text.data(), text.size()) == text.size());
}

bool close_on_exec(int fd)
{
    return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

bool non_blocking(int fd)
{
    return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/// No descriptor is free until the end of the scope.
class NoneLeft {
public:
    NoneLeft()
    {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        const UniqueFd first_free{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
        const rlimit now{.rlim_cur = static_cast<rlim_t>(first_free.get()),
                         .rlim_max = before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    NoneLeft(const NoneLeft&) = delete;
    NoneLeft& operator=(const NoneLeft&) = delete;
    ~NoneLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

} // namespace

TEST_CASE("linux_system: what is written is read back, whole, in part and from the middle")
{
    LinuxSystem kernel;
    System& system = kernel;
    const Folder folder;
    const std::string text(40'000, 'x'); // more than one chunk
    put(system, folder / "a", text + "end");
    CHECK(system.read_file(folder / "a") == text + "end");

    std::array<char, 8> some{};
    CHECK(system.read_small((folder / "a").c_str(), some) == 8U);
    auto file = system.open(folder / "a", O_RDONLY, 0);
    REQUIRE(file);
    CHECK(close_on_exec(file->get()));
    CHECK(system.pread(file->get(), some.data(), some.size(), 40'000) == 3U);
    CHECK(std::string{some.data(), 3} == "end");
    CHECK(system.fstat(file->get())->st_size == 40'003);
}

TEST_CASE("linux_system: read_small reads a list of the kernel that comes in pieces")
{
    LinuxSystem kernel;
    System& system = kernel;
    std::array<char, 65536> room{};
    const auto size = system.read_small("/proc/self/smaps", room);
    REQUIRE(size);
    CHECK(*size > 4096); // a page at a time is all that one read gives
}

TEST_CASE("linux_system: errors carry the errno and name the path")
{
    LinuxSystem kernel;
    System& system = kernel;
    std::array<char, 8> room{};
    const std::string missing = "/nonexistent/x";
    CHECK(system.open(missing, O_RDONLY, 0).error().text() ==
          "open /nonexistent/x: no such file or directory");
    CHECK(system.read_file(missing).error().code.value() == ENOENT);
    CHECK(system.read_small(missing.c_str(), room).error().text() ==
          "open /nonexistent/x: no such file or directory");
    CHECK(system.list_directory(missing).error().text() ==
          "list directory /nonexistent/x: no such file or directory");
    CHECK(system.readlink(missing).error().code.value() == ENOENT);
    CHECK(system.make_directories("/dev/null/x").error().code.value() == ENOTDIR);
    CHECK(system.rename(missing, "/tmp").error().code.value() == ENOENT);
}

TEST_CASE("linux_system: with a spare descriptor /proc is read also when no other is left")
{
    std::array<char, 16> room{};
    LinuxSystem without;
    LinuxSystem with;
    with.keep_spare();
    {
        const NoneLeft none_left;
        CHECK(without.read_file("/proc/self/stat").error().code.value() == EMFILE);
        CHECK(without.read_small("/proc/self/stat", room).error().code.value() == EMFILE);
        CHECK(without.list_directory("/proc/self").error().code.value() == EMFILE);
        for (int i = 0; i < 2; ++i) { // each leaves it to the next
            CHECK(with.read_file("/proc/self/stat"));
            CHECK(with.read_small("/proc/self/stat", room) == room.size());
            CHECK(with.list_directory("/proc/self"));
            CHECK(with.read_file("/nonexistent/x").error().code.value() == ENOENT);
        }
        // What stays open gets none.
        CHECK(with.open("/dev/null", O_RDONLY, 0).error().code.value() == EMFILE);
    }
    CHECK(without.read_file("/proc/self/stat"));
}

TEST_CASE("linux_system: folders are made with their parents, and one that exists is no error")
{
    LinuxSystem kernel;
    System& system = kernel;
    const Folder folder;
    CHECK(system.make_directories(folder / "a/b/c"));
    CHECK(system.make_directories(folder / "a/b/c"));
    put(system, folder / "a/b/file", "");
    CHECK(system.list_directory(folder / "a/b")->size() == 2);
    CHECK(system.make_directories(folder / "a/b/file").error().code.value() == ENOTDIR);
}

TEST_CASE("linux_system: rename replaces, unlink forgives a file that is not there")
{
    LinuxSystem kernel;
    System& system = kernel;
    const Folder folder;
    put(system, folder / "old", "old");
    put(system, folder / "new", "new");
    CHECK(system.rename(folder / "new", folder / "old"));
    CHECK(system.read_file(folder / "old") == "new");
    CHECK(system.unlink(folder / "old"));
    CHECK(system.unlink(folder / "old"));
    CHECK(system.list_directory(folder.path)->empty());
}

TEST_CASE("linux_system: our end of a pipe never waits, the worker's end does")
{
    LinuxSystem kernel;
    System& system = kernel;
    auto pipe = system.pipe();
    REQUIRE(pipe);
    CHECK(close_on_exec(pipe->read.get()));
    CHECK(close_on_exec(pipe->write.get()));
    CHECK(non_blocking(pipe->read.get()));
    CHECK(!non_blocking(pipe->write.get()));
    char byte = 0;
    CHECK(system.read(pipe->read.get(), &byte, 1).error().code.value() == EAGAIN);
    CHECK(system.write(pipe->write.get(), "ab", 2) == 2U);

    const Folder folder;
    auto file = system.open(folder / "log", O_WRONLY | O_CREAT, 0644);
    REQUIRE(file);
    off_t at = 3;
    CHECK(system.splice(pipe->read.get(), file->get(), &at, 4096) == 2U);
    CHECK(at == 5);
    CHECK(system.splice(pipe->read.get(), file->get(), &at, 4096).error().code.value() == EAGAIN);
    CHECK(system.ftruncate(file->get(), 4));
    CHECK(system.fsync(file->get()));
    CHECK(system.read_file(folder / "log") == std::string{"\0\0\0a", 4});
}

TEST_CASE("linux_system: a child is waited for without blocking and told apart by how it ended")
{
    LinuxSystem kernel;
    System& system = kernel;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        while (true)
            ::pause();
    }
    CHECK(!system.wait(child).value().has_value());
    CHECK(system.pidfd_open(child));
    CHECK(system.kill(child, SIGKILL));
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    CHECK(system.wait(child).value() == ExitStatus{.code = 0, .signal = SIGKILL});
    CHECK(system.wait(child).error().code.value() == ECHILD);
    CHECK(system.kill(child, 0).error().code.value() == ESRCH);
}

TEST_CASE("linux_system: peek_any tells who has ended and how, and leaves it to be reaped")
{
    LinuxSystem kernel;
    System& system = kernel;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(42);
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
    for (int time = 0; time < 2; ++time) {
        const auto ended = system.peek_any().value();
        REQUIRE(ended);
        CHECK(ended->first == child);
        CHECK(ended->second == ExitStatus{.code = 42, .signal = 0});
    }
    CHECK(system.wait(child).value() == ExitStatus{.code = 42, .signal = 0});
    CHECK(system.peek_any().error().code.value() == ECHILD);
}

TEST_CASE("linux_system: sched_getaffinity counts the CPUs of the mask")
{
    LinuxSystem kernel;
    System& system = kernel;
    cpu_set_t mask;
    REQUIRE(::sched_getaffinity(0, sizeof mask, &mask) == 0);
    CHECK(system.sched_getaffinity() == CPU_COUNT(&mask));
}
