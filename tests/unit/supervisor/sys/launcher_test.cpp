// The launcher against the real kernel: what a program finds when it starts, and what is told when
// it does not.
#include "supervisor/sys/launcher.hpp"

#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <vector>

using namespace cluster::supervisor;
using namespace cluster::tests;
using cluster::ipc::UniqueFd;

namespace {

std::string link_of(pid_t pid, int fd)
{
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    std::error_code code;
    return std::filesystem::read_symlink(path, code).string();
}

std::set<std::string> open_fds(pid_t pid)
{
    std::set<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"})
        names.insert(entry.path().filename());
    return names;
}

bool have_children()
{
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/// Runs `check` in a child of ours that is an ordinary user; true when it said so.
template <class Check>
bool as_ordinary_user(Check check)
{
    constexpr uid_t kNobody = 65534;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) < 0) ::_exit(2);
        ::_exit(check() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

TEST_CASE("launcher: arguments, environment, folder and umask are those of the plan")
{
    const Scratch scratch;
    LaunchPlan plan = shell("echo \"$0|$1|$A|$HOME|$(pwd)|$(umask)\"", {"A=b c"});
    plan.argv.insert(plan.argv.end(), {"zero", "one  two"});
    plan.cwd = scratch.path;
    plan.umask = 0027;
    Running run{plan};
    CHECK(run.line() == "zero|one  two|b c||" + scratch.path + "|0027");
    CHECK(run.wait() == 0);
}

TEST_CASE("launcher: without a umask of its own the program has ours")
{
    const mode_t before = ::umask(0037);
    Running run{shell("umask")};
    ::umask(before);
    CHECK(run.line() == "0037");
}

TEST_CASE("launcher: rlimits, nice, oom_score_adj and no_new_privileges are those of the plan")
{
    LaunchPlan plan = shell("ulimit -Sn; ulimit -Hn; ulimit -c; nice; cat /proc/self/oom_score_adj;"
                            "grep NoNewPrivs /proc/self/status");
    plan.rlimits = {{RLIMIT_NOFILE, {.soft = 20, .hard = 30}}, {RLIMIT_CORE, {}}};
    plan.nice = 7;
    plan.oom_score_adj = 123;
    plan.no_new_privileges = true;
    Running run{plan};
    for (const char* line : {"20", "30", "0", "7", "123", "NoNewPrivs:\t1"})
        CHECK(run.line() == line);
    CHECK(run.wait() == 0);
}

TEST_CASE("launcher: a program is kept on as many CPUs as the plan says")
{
    LaunchPlan plan = shell("nproc");
    const std::string all = Running{plan}.line();
    plan.cpus = 1;
    for (plan.cpus_from = 0; plan.cpus_from < 5; ++plan.cpus_from)
        CHECK(Running{plan}.line() == "1");
    plan.cpus = 100'000;
    CHECK(Running{plan}.line() == all);
}

TEST_CASE("launcher: a limit that may not be raised names its stage")
{
    CHECK(as_ordinary_user([] {
        LaunchPlan plan = shell("true");
        plan.rlimits = {{RLIMIT_NOFILE, {.soft = 1, .hard = 1'000'000'000'000}}};
        LinuxLauncher launcher;
        const auto launched = launcher.launch(plan);
        return !launched && launched.error().stage == "rlimits" &&
               launched.error().text.contains("only root may raise it");
    }));
    CHECK(as_ordinary_user([] {
        LaunchPlan plan = shell("true");
        plan.nice = -5;
        LinuxLauncher launcher;
        const auto launched = launcher.launch(plan);
        return !launched && launched.error().stage == "priority";
    }));
}

TEST_CASE("launcher: the program writes itself into the groups before it runs")
{
    const Scratch scratch;
    const std::string path = scratch.path + "/cgroup.procs";
    UniqueFd group{::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    LaunchPlan plan = shell("cat " + path + "; echo");
    plan.cgroups = {group.get()};
    Running run{plan};
    CHECK(run.line() == "0");
    CHECK(run.wait() == 0);

    UniqueFd closed{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    plan.cgroups = {closed.get()};
    LinuxLauncher launcher;
    const auto launched = launcher.launch(plan);
    REQUIRE_FALSE(launched);
    CHECK(launched.error().stage == "cgroup");
    CHECK_FALSE(have_children());
}

TEST_CASE("launcher: the program leads a session and a group of its own")
{
    Running run{shell("cut -d' ' -f5,6 /proc/$$/stat; echo $$")};
    const std::string pid = std::to_string(run.pid());
    CHECK(run.line() == pid + " " + pid);
    CHECK(run.line() == pid);
}

TEST_CASE("launcher: LISTEN_PID is the program's own pid, and only where it was left open")
{
    Running run{shell("echo $$ $LISTEN_PID $LISTEN_FDS $A",
                      {"LISTEN_PID=", "LISTEN_FDS=1", "A=LISTEN_PID="})};
    const std::string pid = std::to_string(run.pid());
    CHECK(run.line() == pid + " " + pid + " 1 LISTEN_PID=");
}

TEST_CASE("launcher: the descriptors of the plan are the only ones, in its order")
{
    const UniqueFd zero{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    const UniqueFd leaky{::fcntl(zero.get(), F_DUPFD, 50)}; // not close-on-exec, out of the way
    const Scratch scratch;
    const UniqueFd named{::open(scratch.file("a", "", 0644).c_str(), O_RDWR | O_CLOEXEC)};
    LaunchPlan plan = shell("echo up; exec sleep 1000");
    plan.fds = {2, named.get(), 0, 1}; // our own low numbers crosswise
    const Running run{plan};
    CHECK(run.line() == "up");
    CHECK(open_fds(run.pid()) == std::set<std::string>{"0", "1", "2", "3", "4", "5", "6"});
    CHECK(link_of(run.pid(), 0) == "/dev/null");
    CHECK(link_of(run.pid(), 3) == link_of(::getpid(), 2));
    CHECK(link_of(run.pid(), 4) == scratch.path + "/a");
    CHECK(link_of(run.pid(), 5) == link_of(::getpid(), 0));
    CHECK(link_of(run.pid(), 6) == link_of(::getpid(), 1));
}

TEST_CASE("launcher: a close-on-exec descriptor that has its number already is passed on")
{
    const UniqueFd any{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    const int number = 20;
    REQUIRE(::fcntl(number, F_GETFD) < 0);
    const UniqueFd same{::fcntl(any.get(), F_DUPFD_CLOEXEC, number)};
    REQUIRE(same.get() == number);
    LaunchPlan plan = shell("echo up; exec sleep 1000");
    plan.fds.assign(number - 2, any.get());
    plan.fds.back() = number; // 0, 1 and 2 go before it
    const Running run{plan};
    CHECK(run.line() == "up");
    CHECK(link_of(run.pid(), number) == "/dev/zero");
}

TEST_CASE("launcher: a daemon without stdin, stdout and stderr starts programs that have them")
{
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd out{ends[0]};
    const UniqueFd write{::fcntl(ends[1], F_DUPFD_CLOEXEC, 50)};
    ::close(ends[1]);
    const pid_t daemon = ::fork();
    REQUIRE(daemon >= 0);
    if (daemon == 0) {
        for (const int fd : {0, 1, 2})
            ::close(fd);
        LaunchPlan plan = shell("echo out; echo err >&2");
        plan.fds = {write.get(), write.get(), write.get()};
        const auto launched = LinuxLauncher{}.launch(plan);
        ::waitpid(-1, nullptr, 0);
        ::_exit(launched ? 0 : 1);
    }
    CHECK(next_line(out.get()) == "out");
    CHECK(next_line(out.get()) == "err");
    int status = 0;
    ::waitpid(daemon, &status, 0);
    CHECK(status == 0);
}

TEST_CASE("launcher: no signal is ignored or blocked in the program, whatever they are here")
{
    struct sigaction ignore{};
    struct sigaction handle{};
    struct sigaction before[2]{};
    ignore.sa_handler = SIG_IGN;
    handle.sa_handler = [](int) {};
    ::sigaction(SIGPIPE, &ignore, &before[0]);
    ::sigaction(SIGUSR2, &handle, &before[1]);
    sigset_t some;
    sigset_t mask;
    sigset_t after;
    ::sigemptyset(&some);
    ::sigaddset(&some, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &some, &mask);

    LaunchPlan plan = shell("");
    plan.program = "/bin/sed";
    plan.argv = {"sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"};
    Running run{plan};
    ::sigprocmask(SIG_SETMASK, &mask, &after);
    ::sigaction(SIGPIPE, &before[0], nullptr);
    ::sigaction(SIGUSR2, &before[1], nullptr);

    CHECK(run.line() == "SigBlk:\t0000000000000000");
    CHECK(run.line() == "SigIgn:\t0000000000000000");
    CHECK(run.line() == "SigCgt:\t0000000000000000");
    CHECK(::sigismember(&after, SIGUSR1) == 1); // and ours are as they were
    CHECK(::sigismember(&after, SIGTERM) == 0);
}

TEST_CASE("launcher: the pidfd is the program's")
{
    Running run{shell("exit 7")};
    pollfd ended{.fd = run.pidfd(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&ended, 1, 10'000) == 1);
    CHECK((::fcntl(run.pidfd(), F_GETFD) & FD_CLOEXEC) != 0);
    siginfo_t info{};
    CHECK(::waitid(P_PIDFD, static_cast<id_t>(run.pidfd()), &info, WEXITED | WNOWAIT) == 0);
    CHECK(info.si_pid == run.pid());
    CHECK(run.wait() == 7);
}

TEST_CASE("launcher: what fails is named with its object and its reason, and no zombie stays")
{
    const Scratch scratch;
    const std::string& dir = scratch.path;
    const std::string plain = scratch.file("plain", "#!/bin/sh\n", 0644);
    const std::string orphaned = scratch.file("orphaned", "#! /no/such/python3 -u\n", 0755);
    const std::string bare = scratch.file("bare", "echo hello\n", 0755);
    const struct {
        std::string program;
        std::string cwd;
        std::vector<int> fds;
        const char* stage;
        int error;
        std::string text;
    } rows[] = {
        {"/bin/true",
         dir + "/x",
         {},
         "cwd",
         ENOENT,
         "cannot change to directory " + dir + "/x: no such file or directory"},
        {"/bin/true",
         plain,
         {},
         "cwd",
         ENOTDIR,
         "cannot change to directory " + plain + ": not a directory"},
        {dir + "/none",
         dir,
         {},
         "exec",
         ENOENT,
         "cannot execute " + dir + "/none: no such file or directory"},
        {plain, dir, {}, "exec", EACCES, "cannot execute " + plain + ": permission denied"},
        {dir, dir, {}, "exec", EACCES, "cannot execute " + dir + ": permission denied"},
        {orphaned,
         dir,
         {},
         "exec",
         ENOENT,
         "cannot execute " + orphaned + ": its interpreter /no/such/python3 does not exist"},
        {bare,
         dir,
         {},
         "exec",
         ENOEXEC,
         "cannot execute " + bare + ": it is no program for this machine and has no #! line"},
        {"/bin/true",
         dir,
         {-1},
         "fds",
         EBADF,
         "cannot set up the descriptors: bad file descriptor"},
    };
    LinuxLauncher launcher;
    for (const auto& row : rows) {
        CAPTURE(row.text);
        LaunchPlan plan = shell("");
        plan.program = row.program;
        plan.cwd = row.cwd;
        plan.fds = row.fds;
        const auto launched = launcher.launch(plan);
        REQUIRE(!launched);
        CHECK(launched.error().stage == row.stage);
        CHECK(launched.error().error == row.error);
        CHECK(launched.error().text == row.text);
        CHECK(!have_children());
    }
}

TEST_CASE("launcher: an ordinary user cannot become another, and is told at which step")
{
    CHECK(as_ordinary_user([] {
        LaunchPlan plan = shell("");
        plan.identity =
            Identity{.uid = 0, .gid = 0, .user = "root", .home = "/root", .groups = {0}};
        const auto launched = LinuxLauncher{}.launch(plan);
        return !launched && launched.error().stage == "groups" && launched.error().error == EPERM &&
               launched.error().text ==
                   "cannot set the groups of user root: operation not permitted";
    }));
}

TEST_CASE("launcher: no process left to create is a failure of clone")
{
    CHECK(as_ordinary_user([] {
        const rlimit none{1, 1};
        if (::setrlimit(RLIMIT_NPROC, &none) < 0) return false;
        // Another process of this user makes the limit bite.
        const auto first = LinuxLauncher{}.launch(shell(""));
        return !first && first.error().stage == "clone" && first.error().error == EAGAIN &&
               first.error().text.starts_with("cannot create a process: ");
    }));
}

TEST_CASE("launcher: another user's program has its ids and groups and none of ours")
{
    if (::geteuid() != 0) return; // only root may
    auto identity = look_up_identity("nobody", "");
    REQUIRE(identity);
    REQUIRE(identity->has_value());
    LaunchPlan plan = shell("id -u; id -g; id -G; umask; pwd");
    plan.identity = **identity;
    plan.umask = 0077;
    const Running run{plan};
    const std::string gid = std::to_string((*identity)->gid);
    CHECK(run.line() == std::to_string((*identity)->uid));
    CHECK(run.line() == gid);
    CHECK(run.line() == gid);
    CHECK(run.line() == "0077");
    CHECK(run.line() == "/tmp");
    CHECK(::prctl(PR_GET_DUMPABLE) == 1); // a change of uid in shared memory took it away
}

TEST_CASE("identity: nobody to change to is empty, a name or number that is not there an error")
{
    const std::string me = std::to_string(::geteuid());
    const std::string my_group = std::to_string(::getegid());
    CHECK(!look_up_identity("", "").value().has_value());
    CHECK(!look_up_identity(me, my_group).value().has_value());
    CHECK(!look_up_identity("", my_group).value().has_value());
    CHECK(look_up_identity("nobdy", "").error().text() == "unknown user nobdy");
    CHECK(look_up_identity("", "nogrp").error().text() == "unknown group nogrp");
    CHECK(look_up_identity("4000000000", "").error().text() == "unknown user 4000000000");
}

TEST_CASE("identity: only root becomes somebody else")
{
    const uid_t before = ::geteuid();
    const std::string other = before == 0 ? "root" : "daemon";
    if (before == 0) REQUIRE(::seteuid(65534) == 0);
    const auto user = look_up_identity(other, "");
    const auto group = look_up_identity("", "12345");
    REQUIRE(::seteuid(before) == 0);
    REQUIRE(!user);
    CHECK(user.error().text() == "become user " + other +
                                     ", which takes a daemon that runs as root: operation not "
                                     "permitted");
    REQUIRE(!group);
    CHECK(group.error().text().starts_with("become group 12345, which takes"));
}

TEST_CASE("identity: a user brings along its group, groups and home; a group may be given instead")
{
    const auto root = look_up_identity("root", "12345").value();
    REQUIRE(root);
    CHECK(root->uid == 0);
    CHECK(root->gid == 12345);
    CHECK(root->user == "root");
    CHECK(root->home == "/root");
    CHECK(root->groups.at(0) == 12345);

    const auto daemon = look_up_identity("daemon", "").value();
    const auto number = look_up_identity(std::to_string(daemon->uid), "").value();
    REQUIRE(number);
    CHECK(number->user == "daemon");
    CHECK(number->gid == daemon->gid);

    const auto group = look_up_identity("", "12345").value();
    REQUIRE(group);
    CHECK(group->uid == ::geteuid());
    CHECK(group->groups == std::vector<gid_t>{12345});
}

TEST_CASE("launcher: more descriptors than low numbers are held free reach the program as well")
{
    const Scratch scratch;
    const UniqueFd named{::open(scratch.file("a", "", 0644).c_str(), O_RDWR | O_CLOEXEC)};
    LaunchPlan plan = shell("echo up; exec sleep 1000");
    plan.fds.resize(40, named.get()); // 0, 1 and 2 go before them
    const Running run{plan};
    CHECK(run.line() == "up");
    CHECK(link_of(run.pid(), 42) == scratch.path + "/a");
    CHECK(open_fds(run.pid()).size() == 43);
}

TEST_CASE("launcher: what a program got is open here no longer than it was")
{
    LinuxLauncher launcher;
    int ends[2] = {-1, -1};
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd read{ends[0]};
    {
        UniqueFd write{ends[1]};
        LaunchPlan plan = shell("exit 0");
        plan.fds = {write.get(), write.get(), write.get()};
        const auto launched = launcher.launch(plan);
        REQUIRE(launched);
        ::waitpid(launched->pid, nullptr, 0);
    }
    char byte = 0;
    CHECK(::read(read.get(), &byte, 1) == 0); // nobody has its other end
}

TEST_CASE("launcher: a launch does not cost more the more descriptors are open")
{
    using Clock = std::chrono::steady_clock;
    LinuxLauncher launcher; // as a daemon has it: from the beginning
    const auto quickest = [&] {
        auto least = Clock::duration::max();
        for (int i = 0; i < 30; ++i) {
            const auto begin = Clock::now();
            const auto launched = launcher.launch(shell("exit 0"));
            least = std::min(least, Clock::now() - begin);
            REQUIRE(launched);
            ::waitpid(launched->pid, nullptr, 0);
        }
        return least;
    };
    const auto with_few = quickest();
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &raised) == 0);
    const UniqueFd any{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    std::vector<UniqueFd> many;
    for (rlim_t i = 0; i < std::min<rlim_t>(limit.rlim_max - 100, 15'000); ++i)
        many.emplace_back(::fcntl(any.get(), F_DUPFD_CLOEXEC, 50));
    REQUIRE(many.back());
    const auto with_many = quickest();
    CHECK(with_many < 3 * with_few); // a copy of all of them: seven times
    many.clear();
    ::setrlimit(RLIMIT_NOFILE, &limit);
}
