#include "supervisor/sys/launcher.hpp"

#include "supervisor/sys/cpus.hpp"
#include "supervisor/sys/launch_child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

#if __has_feature(thread_sanitizer)
// ThreadSanitizer takes every clone() for a fork with a memory of its own. This is the same
// function under the name that it does not know.
extern "C" int __clone(int (*child)(void*), void* stack, int flags, void* argument, ...) noexcept;
#define CLUSTER_CLONE ::__clone
#else
#define CLUSTER_CLONE ::clone
#endif

namespace cluster::supervisor {
namespace {

constexpr std::size_t kGuardBytes =
    std::size_t{64} * 1024; ///< at least one page, whatever the page size
constexpr std::size_t kStackBytes = std::size_t{64} * 1024;
constexpr std::size_t kLowFds = 16; ///< more than almost any worker gets

/// Keeps every signal, also those that glibc reserves for itself, away from the moment in which
/// parent and child share their memory.
class SignalsBlocked {
public:
    SignalsBlocked() noexcept
    {
        const std::uint64_t all = ~std::uint64_t{0};
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before_, sizeof all);
    }
    ~SignalsBlocked()
    {
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before_, nullptr, sizeof before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    std::uint64_t before_ = 0;
};

/// A child that changes its uid while it shares our memory makes that memory undumpable: no core
/// file, and /proc/self belongs to root (man 5 proc, man 2 prctl). The child has left it by the
/// time this ends.
class DumpableKept {
public:
    DumpableKept() noexcept : before_{::prctl(PR_GET_DUMPABLE)} {}
    ~DumpableKept()
    {
        if (before_ == 1) ::prctl(PR_SET_DUMPABLE, 1);
    }
    DumpableKept(const DumpableKept&) = delete;
    DumpableKept& operator=(const DumpableKept&) = delete;

private:
    int before_;
};

constexpr std::string_view kListenPid = "LISTEN_PID=";

/// The arrays that execve wants, pointing into a LaunchPlan that outlives them.
class Prepared {
public:
    explicit Prepared(const LaunchPlan& plan)
        : moved_fds_(plan.fds.size()),
          cpus_{plan.cpus == 0 ? CpuMask{} : some_cpus(plan.cpus, plan.cpus_from)}
    {
        for (const std::string& argument : plan.argv)
            argv_.push_back(pointer(argument));
        argv_.push_back(nullptr);
        for (const std::string& entry : plan.environment)
            environment_.push_back(entry == kListenPid ? listen_pid_ : pointer(entry));
        environment_.push_back(nullptr);

        job_.program = plan.program.c_str();
        job_.argv = argv_.data();
        job_.environment = environment_.data();
        job_.cwd = plan.cwd.empty() ? nullptr : plan.cwd.c_str();
        job_.fds = plan.fds.data();
        job_.moved_fds = moved_fds_.data();
        job_.fd_count = static_cast<unsigned>(plan.fds.size());
        job_.listen_pid = listen_pid_ + kListenPid.size();
        job_.cgroups = plan.cgroups.data();
        job_.cgroup_count = static_cast<unsigned>(plan.cgroups.size());
        if (!cpus_.empty()) job_.cpus = cpus_.data();
        job_.cpus_bytes = cpus_.size() * sizeof(unsigned long);
        for (const auto& [resource, limit] : plan.rlimits)
            rlimits_.push_back({.resource = resource, .soft_hard = {limit.soft, limit.hard}});
        job_.rlimits = rlimits_.data();
        job_.rlimit_count = static_cast<unsigned>(rlimits_.size());
        if (plan.nice) job_.nice = &*plan.nice;
        if (plan.oom_score_adj) {
            oom_score_adj_ = std::to_string(*plan.oom_score_adj);
            job_.oom_score_adj = oom_score_adj_.c_str();
        }
        job_.no_new_privileges = plan.no_new_privileges;
        if (plan.umask) job_.umask = static_cast<int>(*plan.umask);
        if (plan.identity) {
            job_.change_identity = true;
            job_.uid = plan.identity->uid;
            job_.gid = plan.identity->gid;
            job_.groups = plan.identity->groups.data();
            job_.group_count = plan.identity->groups.size();
        }
    }
    Prepared(const Prepared&) = delete;
    Prepared& operator=(const Prepared&) = delete;

    ChildJob& job() { return job_; }
    /// The same descriptors, under numbers below `end`.
    void use_low(const std::vector<int>& fds, unsigned end)
    {
        job_.fds = fds.data();
        job_.cgroups = fds.data() + job_.fd_count;
        job_.fds_end = end;
    }

private:
    static char* pointer(const std::string& text)
    {
        return const_cast<char*>(text.c_str()); // execve's signature; it writes nothing
    }

    std::vector<char*> argv_;
    std::vector<char*> environment_;
    std::vector<int> moved_fds_;
    CpuMask cpus_;
    std::vector<ChildRlimit> rlimits_;
    std::string oom_score_adj_;
    char listen_pid_[32] = "LISTEN_PID=";
    ChildJob job_;
};

std::string first_line_of(const std::string& path)
{
    const ipc::UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    std::array<char, 256> head; // as much as the kernel looks at (man 2 execve)
    const ssize_t size = file ? ::read(file.get(), head.data(), head.size()) : -1;
    const std::string text{head.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    return text.substr(0, text.find('\n'));
}

/// Why execve failed, where its errno says less than can be known.
std::string exec_reason(const std::string& program, int error)
{
    if (error == ENOEXEC) return "it is no program for this machine and has no #! line";
    if (error != ENOENT || ::access(program.c_str(), F_OK) != 0) return ipc::errno_text(error);
    const std::string first_line = first_line_of(program);
    if (!first_line.starts_with("#!")) return "the loader that it names does not exist";
    const std::size_t begin = first_line.find_first_not_of(" \t", 2);
    if (begin == std::string::npos) return "its #! line names no interpreter";
    const std::size_t end = std::min(first_line.find_first_of(" \t\r", begin), first_line.size());
    return "its interpreter " + first_line.substr(begin, end - begin) + " does not exist";
}

/// To raise a limit or a priority takes root (CAP_SYS_RESOURCE, CAP_SYS_NICE).
std::string rights(int error)
{
    return error == EPERM || error == EACCES ? " (only root may raise it)" : "";
}

LaunchFailure failure(const LaunchPlan& plan, ChildStage stage, int error)
{
    const std::string reason = ipc::errno_text(error);
    const Identity who = plan.identity.value_or(Identity{});
    switch (stage) {
    case ChildStage::session:
        return {"session", error, "cannot start a session: " + reason};
    case ChildStage::cgroup:
        return {"cgroup", error, "cannot enter its cgroup: " + reason};
    case ChildStage::affinity:
        return {"affinity", error, "cannot keep it on some of the CPUs: " + reason};
    case ChildStage::rlimits:
        return {"rlimits", error, "cannot set its rlimits: " + reason + rights(error)};
    case ChildStage::priority:
        return {"priority", error, "cannot set nice or oom_score_adj: " + reason + rights(error)};
    case ChildStage::groups:
        return {"groups", error, "cannot set the groups of user " + who.user + ": " + reason};
    case ChildStage::gid:
        return {"gid", error, "cannot change to group " + std::to_string(who.gid) + ": " + reason};
    case ChildStage::uid:
        return {"uid", error, "cannot become user " + who.user + ": " + reason};
    case ChildStage::cwd:
        return {"cwd", error, "cannot change to directory " + plan.cwd + ": " + reason};
    case ChildStage::fds:
        return {"fds", error, "cannot set up the descriptors: " + reason};
    case ChildStage::exec:
        break;
    }
    return {"exec", error,
            "cannot execute " + plan.program + ": " + exec_reason(plan.program, error)};
}

/// clone(2) with the child on our stack. Returns the pid or -errno.
int clone_child(void* stack, ChildJob& job, int& pidfd)
{
    const SignalsBlocked signals;
    const std::optional<DumpableKept> dumpable =
        job.change_identity ? std::optional<DumpableKept>{std::in_place} : std::nullopt;
    auto* const top = static_cast<char*>(stack) + kGuardBytes + kStackBytes;
    const int share = job.fds_end > 0 ? CLONE_FILES : 0;
    const int pid = CLUSTER_CLONE(
        run_child, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | share | SIGCHLD, &job, &pidfd);
    return pid < 0 ? -errno : pid;
}

void reap(pid_t pid)
{
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) < 0 && errno == EINTR) {
    }
}

} // namespace

/// Duplicates of what the child gets, at our low numbers for the time of one launch.
class LinuxLauncher::LowFds {
public:
    LowFds(const std::vector<ipc::UniqueFd>& numbers, const LaunchPlan& plan) : numbers_{numbers}
    {
        for (const std::vector<int>* fds : {&plan.fds, &plan.cgroups})
            for (const int fd : *fds)
                if (!put(fd)) return;
        complete_ = true;
    }
    ~LowFds()
    {
        for (const int fd : fds_)
            ::dup3(numbers_.front().get(), fd, O_CLOEXEC);
    }
    LowFds(const LowFds&) = delete;
    LowFds& operator=(const LowFds&) = delete;

    /// All of them had room.
    [[nodiscard]] bool complete() const { return complete_; }
    [[nodiscard]] const std::vector<int>& fds() const { return fds_; }
    /// Above all of them.
    [[nodiscard]] unsigned end() const { return static_cast<unsigned>(numbers_.back().get()) + 1; }

private:
    bool put(int fd)
    {
        const std::size_t at = fds_.size() + 1; // the first one stays what it is
        if (at >= numbers_.size() || ::dup3(fd, numbers_[at].get(), O_CLOEXEC) < 0) return false;
        fds_.push_back(numbers_[at].get());
        return true;
    }

    const std::vector<ipc::UniqueFd>& numbers_;
    std::vector<int> fds_;
    bool complete_ = false;
};

LinuxLauncher::LinuxLauncher()
    : stack_{::mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0)}
{
    if (stack_ != MAP_FAILED) ::mprotect(stack_, kGuardBytes, PROT_NONE);
    const ipc::UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    for (std::size_t i = 0; null && i < kLowFds; ++i)
        low_fds_.emplace_back(::fcntl(null.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!null || !low_fds_.back()) low_fds_.clear();
}

LinuxLauncher::~LinuxLauncher()
{
    if (stack_ != MAP_FAILED) ::munmap(stack_, kGuardBytes + kStackBytes);
}

std::expected<Launched, LaunchFailure> LinuxLauncher::launch(const LaunchPlan& plan)
{
    Prepared prepared{plan};
    std::optional<LowFds> low;
    if (!low_fds_.empty()) low.emplace(low_fds_, plan);
    if (low && low->complete()) prepared.use_low(low->fds(), low->end());
    int pidfd = -1;
    const int pid = stack_ == MAP_FAILED ? -ENOMEM : clone_child(stack_, prepared.job(), pidfd);
    if (pid < 0)
        return std::unexpected(
            LaunchFailure{"clone", -pid, "cannot create a process: " + ipc::errno_text(-pid)});
    Launched launched{pid, ipc::UniqueFd{pidfd}};
    if (prepared.job().error != 0) {
        reap(pid);
        return std::unexpected(failure(plan, prepared.job().stage, prepared.job().error));
    }
    return launched;
}

} // namespace cluster::supervisor
