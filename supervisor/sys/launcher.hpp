// Starts one program the way a supervisor must: no shared descriptors, no inherited signal state, a
// session of its own, and a failure that says which step failed. See launcher.cpp for the child's
// side, the only code that runs between clone and exec.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct Identity {
    uid_t uid;
    gid_t gid;
    std::string user;          ///< name, or the number when it has none
    std::string home;          ///< "" when unknown
    std::vector<gid_t> groups; ///< supplementary ones, as initgroups would set them
};

/// `user` and `group` are names or numbers, "" keeps. Empty when both are empty or name the
/// caller itself. Names win over numbers. Errors: "unknown user nobdy". Asks the system's user
/// database, which may be slow: once per app, not once per launch.
ipc::Result<std::optional<Identity>> look_up_identity(const std::string& user,
                                                      const std::string& group);

/// Everything prepared before the clone: the child only makes raw system calls.
struct LaunchPlan {
    std::string program; ///< absolute path
    std::vector<std::string> argv;
    std::vector<std::string>
        environment; ///< "NAME=value". "LISTEN_PID=" is completed in the child.
    std::string cwd;
    std::vector<int> fds; ///< become 0, 1, 2, 3, … in the child; all others are closed
    std::optional<Identity> identity;
    std::optional<unsigned> umask;
    std::vector<int> cgroups;  ///< open cgroup.procs files of the groups to enter
    std::size_t cpus = 0;      ///< how many of our CPUs it may run on; 0, or no fewer than we: all
    std::size_t cpus_from = 0; ///< which: a number that spreads workers over them
    std::vector<std::pair<int, ipc::Rlimit>> rlimits; ///< by RLIMIT_… (man 2 getrlimit)
    std::optional<int> nice;
    std::optional<int> oom_score_adj;
    bool no_new_privileges = false;
};

/// What failed on the way to exec, for a sentence like
/// "cannot change to directory /srv/x: no such file or directory".
struct LaunchFailure {
    std::string stage; ///< "clone", "session", "cgroup", "affinity", "rlimits", "priority",
                       ///< "groups", "gid", "uid", "cwd", "fds", "exec"
    int error = 0;     ///< errno
    std::string text;  ///< the whole sentence
};

struct Launched {
    pid_t pid;
    ipc::UniqueFd pidfd;
};

/// The seam for tests; `LinuxLauncher` is the real one (clone with CLONE_VM|CLONE_VFORK|CLONE_PIDFD
/// on a private stack). A child that fails before exec is reaped before this returns.
///
/// What the child gets is put at low numbers first, which are held free for that from the
/// beginning: then it shares our table of descriptors and takes along what is below, and a launch
/// does not cost more the more of them we have.
class Launcher {
public:
    virtual ~Launcher() = default;
    virtual std::expected<Launched, LaunchFailure> launch(const LaunchPlan& plan) = 0;
};

class LinuxLauncher final : public Launcher {
public:
    LinuxLauncher();
    ~LinuxLauncher() override;
    LinuxLauncher(const LinuxLauncher&) = delete;
    LinuxLauncher& operator=(const LinuxLauncher&) = delete;
    std::expected<Launched, LaunchFailure> launch(const LaunchPlan& plan) override;

private:
    class LowFds;

    void* stack_;                        ///< the child's, mapped once with a guard page
    std::vector<ipc::UniqueFd> low_fds_; ///< of /dev/null, in the order of their numbers
};

} // namespace cluster::supervisor
