#include "supervisor/sys/take_back.hpp"

#include "supervisor/sys/keeper.hpp"
#include "tests/support/scripted_system.hpp"
#include "tests/unit/supervisor/sys/fake_proc.hpp"
#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::tests::FakeProcess;
using cluster::tests::Running;
using cluster::tests::Scratch;
using cluster::tests::ScriptedSystem;
using cluster::tests::shell;

namespace {

/// A child that does nothing but hold all that was open when it was born.
class Holder {
public:
    Holder() : pid_{::fork()}
    {
        REQUIRE(pid_ >= 0);
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            ::pause();
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_;
};

std::string read_some(int fd)
{
    char bytes[64];
    const ssize_t size = ::read(fd, bytes, sizeof bytes);
    return size < 0 ? "" : std::string{bytes, static_cast<std::size_t>(size)};
}

/// `sh` of this home that prints "up" when it is there, and then stands still.
std::unique_ptr<Running> marked(const std::string& home, const std::string& unique_id,
                                const std::string& script = "echo up; kill -STOP $$")
{
    auto process = std::make_unique<Running>(
        shell(script, {"CLUSTER_HOME=" + home, "unique_id=" + unique_id}));
    REQUIRE(process->line() == "up");
    return process;
}

std::vector<std::string> ids(const std::vector<MarkedProcess>& found)
{
    std::vector<std::string> all;
    for (const MarkedProcess& process : found)
        all.push_back(process.unique_id);
    std::ranges::sort(all);
    return all;
}

/// Alone in its home: only processes that a test makes are found.
struct Marking : Scratch {
    ipc::LinuxSystem system;
    ~Marking() { end_marked(system, find()); }
    [[nodiscard]] std::vector<MarkedProcess> find(const std::vector<pid_t>& spared = {})
    {
        return find_marked(system, path, spared);
    }
};

ipc::UniqueFd take_one(ipc::System& system, pid_t pid, std::uint64_t inode)
{
    auto taken = take_back(system, pid, {inode});
    CHECK(taken.size() <= 1);
    return taken.empty() ? ipc::UniqueFd{} : std::move(taken.front());
}

} // namespace

TEST_CASE("take back: a pipe that only somebody else holds is open again for both, not blocking")
{
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ipc::UniqueFd read{ends[0]};
    ipc::UniqueFd write{ends[1]};
    const std::uint64_t inode = inode_of(read.get());
    REQUIRE(::write(write.get(), "left behind", 11) == 11);
    const Holder holder;
    read.reset();
    write.reset();

    ipc::LinuxSystem system;
    const ipc::UniqueFd back = take_one(system, holder.pid(), inode);
    REQUIRE(back);
    CHECK(inode_of(back.get()) == inode);
    const int flags = ::fcntl(back.get(), F_GETFL);
    CHECK((flags & O_ACCMODE) == O_RDWR);
    CHECK((flags & O_NONBLOCK) != 0);
    CHECK((::fcntl(back.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(read_some(back.get()) == "left behind");
    REQUIRE(::write(back.get(), "x", 1) == 1);
    CHECK(read_some(back.get()) == "x");
    // The worker's own end blocks as it did.
    CHECK(::read(back.get(), ends, 1) == -1);
    CHECK(errno == EAGAIN);
}

TEST_CASE("take back: a socket is the same one, with what waits in it and its other side")
{
    int pair[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const ipc::UniqueFd other{pair[1]};
    ipc::UniqueFd held{pair[0]};
    const std::uint64_t inode = inode_of(held.get());
    REQUIRE(::write(other.get(), "question", 8) == 8);
    const Holder holder;
    held.reset();

    ipc::LinuxSystem system;
    const ipc::UniqueFd back = take_one(system, holder.pid(), inode);
    REQUIRE(back);
    CHECK(inode_of(back.get()) == inode);
    CHECK((::fcntl(back.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(read_some(back.get()) == "question");
    REQUIRE(::write(back.get(), "answer", 6) == 6);
    CHECK(read_some(other.get()) == "answer");
}

TEST_CASE("take back: what it has not, or who is not there, gives nothing")
{
    ipc::LinuxSystem system;
    int pair[2] = {-1, -1};
    const Holder holder; // before the sockets
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const ipc::UniqueFd one{pair[0]};
    const ipc::UniqueFd other{pair[1]};
    CHECK_FALSE(take_one(system, holder.pid(), inode_of(one.get())));
    CHECK_FALSE(take_one(system, holder.pid(), 0));
    CHECK_FALSE(take_one(system, 5'000'000, inode_of(one.get()))); // no such process
}

TEST_CASE("take back: a descriptor that goes meanwhile, and one that we may not have")
{
    ScriptedSystem system;
    system.links["/proc/7/fd/3"] = "pipe:[55]";
    CHECK_FALSE(take_one(system, 7, 55)); // no longer there to be opened
    system.links["/proc/7/fd/4"] = "socket:[66]";
    CHECK_FALSE(take_one(system, 7, 66)); // the process is gone
    CHECK_FALSE(take_one(system, 7, 5));  // not the beginning of another number
    system.fail_always("list directory /proc/7/fd", EACCES);
    system.alive.insert(7);
    CHECK_FALSE(take_one(system, 7, 66));
}

TEST_CASE("find marked: processes of this home and their descendants, by whose mark they carry")
{
    Marking m;
    const auto one = marked(m.path, "one");
    // A descendant in a session of its own is found as well.
    const auto two = marked(m.path, "two", "setsid sh -c 'echo up; kill -STOP $$' & kill -STOP $$");
    const auto foreign = marked(m.path + "-not", "three");
    const auto found = m.find();
    CHECK(ids(found) == std::vector<std::string>{"one", "two", "two"});
    const auto root =
        std::ranges::find(found, one->pid(), [](const MarkedProcess& p) { return p.stat.pid; });
    REQUIRE(root != found.end());
    CHECK(root->unique_id == "one");
    CHECK(root->stat.session == one->pid()); // as a worker's own process is
    CHECK(root->stat.start_time > 0);

    CHECK(ids(m.find({one->pid()})) == std::vector<std::string>{"two", "two"});
    end_marked(m.system, m.find());
    CHECK(m.find().empty());
    CHECK(::kill(foreign->pid(), 0) == 0); // it is another home's
}

TEST_CASE("find marked: who has only a part of the mark, or one that begins like it, is a stranger")
{
    Scratch scratch;
    const std::string home = scratch.path;
    ipc::LinuxSystem system;
    const Running no_id{shell("echo up; kill -STOP $$", {"CLUSTER_HOME=" + home})};
    const Running no_home{shell("echo up; kill -STOP $$", {"unique_id=x"})};
    const Running other_name{
        shell("echo up; kill -STOP $$", {"MY_CLUSTER_HOME=" + home, "unique_id=x"})};
    const Running longer{
        shell("echo up; kill -STOP $$", {"CLUSTER_HOME=" + home + "x", "unique_id=x"})};
    for (const Running* process : {&no_id, &no_home, &other_name, &longer})
        REQUIRE(process->line() == "up");
    CHECK(find_marked(system, home, {}).empty());
}

TEST_CASE("find marked: zombies are not there any more")
{
    ScriptedSystem system;
    const std::string block{"CLUSTER_HOME=/h\0unique_id=a\0", 28};
    for (const FakeProcess& process :
         {FakeProcess{.pid = 11, .state = 'S'}, FakeProcess{.pid = 12, .state = 'Z'},
          FakeProcess{.pid = 13, .state = 'Z', .threads = 2},
          FakeProcess{.pid = 14, .state = 'D'}}) {
        add_process(system, process);
        set_environment(system, process.pid, block);
    }
    std::vector<pid_t> pids;
    for (const MarkedProcess& process : find_marked(system, "/h", {14}))
        pids.push_back(process.stat.pid);
    std::ranges::sort(pids);
    // One whose first thread has ended goes on in the others.
    CHECK(pids == std::vector<pid_t>{11, 13});
}

TEST_CASE("find marked: one that is between two programs is waited for, and told as it is then")
{
    ScriptedSystem system;
    add_process(system, {.pid = 11, .session = 11});
    const std::string later = system.files["/proc/11/stat"];
    remove_process(system, 11);
    add_process(system, {.pid = 11, .session = 7, .in_exec = true});
    const std::string before = system.files["/proc/11/stat"];
    system.then_files["/proc/11/stat"] = {before, before, later};
    set_environment(system, 11, "");
    system.then_files["/proc/11/environ"] = {"", std::string{"CLUSTER_HOME=/h\0unique_id=a\0", 28}};
    const auto found = find_marked(system, "/h", {});
    REQUIRE(found.size() == 1);
    CHECK(found[0].unique_id == "a");
    CHECK(found[0].stat.session == 11);
}

TEST_CASE("find marked: a thread of the kernel, empty for ever, is not waited for")
{
    ScriptedSystem system;
    add_process(system, {.pid = 12, .parent = 2, .of_the_kernel = true});
    set_environment(system, 12, "");
    CHECK(find_marked(system, "/home/x", {}).empty());
    CHECK(system.count("read /proc/12/environ") == 1);
}

TEST_CASE("find marked: one that looks like the manager that made it is waited for, to be itself")
{
    ScriptedSystem system;
    add_process(system, {.pid = 11});
    const std::string line = "/proc/11/cmdline";
    const std::string manager{"clusterd\0--manager\0--home\0/h\0", 29};
    system.files[line] = manager;
    system.then_files[line] = {manager, manager, "worker"};
    set_environment(system, 11, std::string{"CLUSTER_HOME=/h\0unique_id=a\0", 28});
    CHECK(ids(find_marked(system, "/h", {})) == std::vector<std::string>{"a"});
    CHECK(system.count("read " + line) == 4);

    system.calls.clear(); // the manager of another home is nobody's child
    system.files[line] = manager;
    CHECK(ids(find_marked(system, "/hh", {})).empty());
    CHECK(system.count("read " + line) == 1);
}

TEST_CASE("end marked: they are gone when it returns, and a number that was used again is spared")
{
    Marking m;
    const auto stubborn = marked(m.path, "one", "trap '' INT TERM; echo up; kill -STOP $$");
    const auto found = m.find();
    REQUIRE(ids(found) == std::vector<std::string>{"one"});
    end_marked(m.system, found);
    CHECK(m.find().empty());
    CHECK(stubborn->wait() == 256 + SIGKILL);

    ScriptedSystem system;
    add_process(system, {.pid = 11, .start_time = 1000});
    system.alive.insert(11);
    end_marked(system, {{.stat = {.pid = 11, .start_time = 999}, .unique_id = "a"}});
    CHECK(system.kills.empty());
}

TEST_CASE("end marked: what outlives SIGKILL is left alone after a second")
{
    ScriptedSystem system;
    add_process(system, {.pid = 11, .start_time = 1000, .state = 'D'});
    system.alive.insert(11);
    end_marked(system, {{.stat = {.pid = 11, .start_time = 1000}, .unique_id = "a"}});
    CHECK_FALSE(system.kills.empty());
}
