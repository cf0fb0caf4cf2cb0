#include "cli/capture.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::Result;

std::vector<char*> pointers(std::vector<std::string>& strings)
{
    std::vector<char*> out;
    out.reserve(strings.size() + 1);
    for (std::string& text : strings)
        out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// posix_spawn's two tables, destroyed together.
struct Settings {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};

    Settings(int write_end, const CaptureRequest& request)
    {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, write_end, request.fd);
        if (request.fd != 1) posix_spawn_file_actions_adddup2(&actions, 2, 1);
        posix_spawn_file_actions_addchdir_np(&actions, request.cwd.c_str());
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    Settings(const Settings&) = delete;
    Settings& operator=(const Settings&) = delete;
    ~Settings()
    {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
};

Result<pid_t> spawn(int write_end, const CaptureRequest& request)
{
    std::vector<std::string> words{request.program};
    words.insert(words.end(), request.args.begin(), request.args.end());
    std::vector<std::string> variables;
    for (const auto& [name, value] : request.environment)
        variables.push_back(name + "=" + value);
    const Settings settings{write_end, request};
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, request.program.c_str(), &settings.actions, &settings.attributes,
                      pointers(words).data(), pointers(variables).data());
    if (error != 0) return ipc::fail(error, "run " + request.program);
    return pid;
}

/// Takes what is there now.
Result<void> drain(ipc::System& system, int fd, std::size_t max_bytes, std::string& into)
{
    std::array<char, 65536> chunk;
    while (true) {
        const auto size = system.read(fd, chunk.data(), chunk.size());
        if (!size && size.error().code == std::errc::resource_unavailable_try_again) return {};
        if (!size) return std::unexpected(size.error());
        if (*size == 0) return {};
        into.append(chunk.data(), *size);
        if (into.size() > max_bytes) return ipc::fail(EFBIG, "read the output");
    }
}

/// Reads until the program has ended or the limit is over; true when it has ended.
Result<bool> read_to_end(ipc::System& system, const ipc::Clock& clock, int pidfd, int pipe,
                         const CaptureRequest& request, std::string& output)
{
    const auto deadline = clock.now() + request.limit;
    while (true) {
        const auto left = std::max(deadline - clock.now(), ipc::milliseconds{0});
        std::array<pollfd, 2> fds{pollfd{pidfd, POLLIN, 0}, pollfd{pipe, POLLIN, 0}};
        const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR) return ipc::fail(errno, "poll");
        if (pipe >= 0)
            if (auto drained = drain(system, pipe, request.max_bytes, output); !drained)
                return std::unexpected(std::move(drained.error()));
        if (ready > 0 && fds[0].revents != 0) return true;
        if (ready == 0) return false;
        // A closed pipe is readable for ever: wait for the end alone.
        if (ready > 0 && (fds[1].revents & (POLLHUP | POLLIN)) == POLLHUP) pipe = -1;
    }
}

} // namespace

Result<Captured> capture(ipc::System& system, const ipc::Clock& clock,
                         const CaptureRequest& request)
{
    auto pipe = system.pipe();
    if (!pipe) return std::unexpected(std::move(pipe.error()));
    const auto pid = spawn(pipe->write.get(), request);
    if (!pid) return std::unexpected(pid.error());
    pipe->write.reset();
    Captured captured;
    const auto pidfd = system.pidfd_open(*pid);
    const auto ended =
        pidfd ? read_to_end(system, clock, pidfd->get(), pipe->read.get(), request, captured.output)
              : Result<bool>{std::unexpected(pidfd.error())};
    if (!ended || !*ended) (void)system.kill(*pid, SIGKILL);
    if (pidfd) { // after SIGKILL the end is near: wait without a limit
        pollfd fd{pidfd->get(), POLLIN, 0};
        while (::poll(&fd, 1, -1) < 0 && errno == EINTR) {
        }
    }
    const auto status = system.wait(*pid);
    if (!ended) return std::unexpected(ended.error());
    if (!status) return std::unexpected(status.error());
    if (*ended) captured.status = *status;
    return captured;
}

} // namespace cluster::cli
