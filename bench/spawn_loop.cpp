// The lower bounds of bench/run: the same programs with nothing but posix_spawn and waitpid around
// them, one process, no log, no state, no client.
//
//   spawn_loop up N PROGRAM ARGS...    starts N, prints "spawned NS rested NS"; when stdin ends,
//                                      ends them with SIGINT and prints "ended NS"
//   spawn_loop keep N PROGRAM ARGS...  starts each of N again when it ends, until SIGTERM; then
//                                      prints "respawns COUNT cpu NS"
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

volatile std::sig_atomic_t g_ended = 0;

std::int64_t nanoseconds(clockid_t clock)
{
    timespec now{};
    ::clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

pid_t spawn(char** command)
{
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, command[0], nullptr, nullptr, command, environ);
    if (error == 0) return pid;
    errno = error;
    std::perror(command[0]);
    std::exit(1);
}

/// Whether a process sleeps, which `sleep` does once the loader and its main are through.
bool is_asleep(pid_t pid)
{
    char text[256] = {};
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? 0 : ::read(fd, text, sizeof text);
    if (fd >= 0) ::close(fd);
    const std::string_view stat{text, static_cast<std::size_t>(size > 0 ? size : 0)};
    return stat.find(") S ") != std::string_view::npos;
}

void end(const std::vector<pid_t>& pids, int signal)
{
    for (const pid_t pid : pids)
        ::kill(pid, signal);
    for (const pid_t pid : pids)
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
}

int up(std::size_t count, char** command)
{
    std::vector<pid_t> pids;
    pids.reserve(count);
    const std::int64_t begin = nanoseconds(CLOCK_MONOTONIC);
    while (pids.size() < count)
        pids.push_back(spawn(command));
    const std::int64_t spawned = nanoseconds(CLOCK_MONOTONIC);
    for (const pid_t pid : pids)
        while (!is_asleep(pid))
            ::usleep(100);
    const std::int64_t rested = nanoseconds(CLOCK_MONOTONIC);
    std::printf("spawned %ld rested %ld\n", spawned - begin, rested - begin);
    std::fflush(stdout);

    while (std::getchar() != EOF) {
    }
    const std::int64_t asked = nanoseconds(CLOCK_MONOTONIC);
    end(pids, SIGINT);
    std::printf("ended %ld\n", nanoseconds(CLOCK_MONOTONIC) - asked);
    return 0;
}

int keep(std::size_t count, char** command)
{
    struct sigaction action = {};
    action.sa_handler = [](int) { g_ended = 1; };
    ::sigaction(SIGTERM, &action, nullptr); // no SA_RESTART: waitpid shall come back
    std::vector<pid_t> pids;
    while (pids.size() < count)
        pids.push_back(spawn(command));
    long respawns = 0;
    const std::int64_t begin = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    // A signal that comes between this test and waitpid is lost: bench/run repeats it.
    while (!g_ended) {
        const pid_t gone = ::waitpid(-1, nullptr, 0);
        for (pid_t& pid : pids) {
            if (pid != gone) continue;
            pid = spawn(command);
            ++respawns;
            break;
        }
    }
    std::printf("respawns %ld cpu %ld\n", respawns, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - begin);
    std::fflush(stdout);
    end(pids, SIGKILL);
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string_view mode = argc > 3 ? argv[1] : "";
    const std::size_t count = argc > 3 ? std::strtoul(argv[2], nullptr, 10) : 0;
    if (count > 0 && mode == "up") return up(count, argv + 3);
    if (count > 0 && mode == "keep") return keep(count, argv + 3);
    std::fputs("usage: spawn_loop up|keep N PROGRAM ARGS...\n", stderr);
    return 2;
}
