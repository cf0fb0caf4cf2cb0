// Real processes for tests about the kernel: a scratch folder, a launch whose output is read
// through a pipe, and nothing left behind.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/sys/launcher.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

struct Scratch {
    std::string path = [] {
        std::string name = "/tmp/cluster-sys-XXXXXX";
        const char* const made = ::mkdtemp(name.data());
        REQUIRE(made != nullptr);
        ::chmod(made, 0755); // other users' processes are started in it
        return std::string{made};
    }();
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::filesystem::remove_all(path); }

    /// Writes a file and returns its path.
    [[nodiscard]] std::string file(const std::string& name, const std::string& text,
                                   mode_t mode) const
    {
        const std::string made = path + "/" + name;
        std::ofstream{made} << text;
        ::chmod(made.c_str(), mode);
        return made;
    }
};

/// The next line that comes out of a pipe, within ten seconds; "" at its end.
inline std::string next_line(int fd)
{
    std::string line;
    char byte = 0;
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    while (::poll(&ready, 1, 10'000) == 1 && ::read(fd, &byte, 1) == 1 && byte != '\n')
        line += byte;
    return line;
}

/// A launched process with its stdout (and stderr) in a pipe. Kills its session when it goes.
class Running {
public:
    explicit Running(supervisor::LaunchPlan plan)
    {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        out_ = ipc::UniqueFd{ends[0]};
        const ipc::UniqueFd write{ends[1]};
        const ipc::UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
        plan.fds.insert(plan.fds.begin(), {null.get(), write.get(), write.get()});
        auto launched = supervisor::LinuxLauncher{}.launch(plan);
        if (!launched) FAIL(launched.error().text);
        pid_ = launched->pid;
        pidfd_ = std::move(launched->pidfd);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running()
    {
        if (pid_ == 0) return;
        ::kill(-pid_, SIGKILL);
        wait();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }
    [[nodiscard]] std::string line() const { return next_line(out_.get()); }

    /// The exit code, or 256 + the signal.
    int wait()
    {
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(std::exchange(pid_, 0)), &info, WEXITED);
        return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
    }

private:
    pid_t pid_ = 0;
    ipc::UniqueFd pidfd_;
    ipc::UniqueFd out_;
};

/// `sh -c script` in /tmp with these variables and PATH.
inline supervisor::LaunchPlan shell(const std::string& script,
                                    std::vector<std::string> environment = {})
{
    environment.emplace_back("PATH=/usr/bin:/bin");
    supervisor::LaunchPlan plan;
    plan.program = "/bin/sh";
    plan.argv = {"sh", "-c", script};
    plan.environment = std::move(environment);
    plan.cwd = "/tmp";
    return plan;
}

} // namespace cluster::tests
