#include "cli/daemon_starter.hpp"

#include "cli/foreground_lock.hpp"
#include "cli/services.hpp"
#include "ipc/base/home.hpp"
#include "ipc/base/unique_fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster::cli {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds kDeadline = 10s;
constexpr milliseconds kFirstWait = 1ms;
constexpr milliseconds kLongestWait = 100ms;
/// After another clusterd was seen to hold the lock: it may be a dying one, so ask again.
constexpr milliseconds kSpawnPause = 300ms;
constexpr milliseconds kReturnLimit = 2s; ///< until a daemon that died is back
constexpr milliseconds kReturnPause = 5ms;
constexpr int kReportFd = 3; ///< where clusterd finds the pipe that it reports on

void pause_for(milliseconds time)
{
    ::poll(nullptr, 0, static_cast<int>(time.count()));
}

/// The environment of the daemon: ours, with the home spelled absolutely, because the daemon does
/// not run in our working directory. Typed inside a managed app, it must not carry that app's mark:
/// the daemon is no part of the app's tree. `attended`: it belongs to this process.
std::vector<std::string> daemon_environment(const std::string& home, bool attended)
{
    constexpr std::string_view kAttendedBy = "CLUSTER_ATTENDED_BY=";
    std::vector<std::string> variables;
    for (char** variable = ::environ; *variable != nullptr; ++variable) {
        const std::string_view text{*variable};
        if (!text.starts_with("CLUSTER_HOME=") && !text.starts_with("unique_id=") &&
            !text.starts_with(kAttendedBy))
            variables.emplace_back(text);
    }
    variables.push_back("CLUSTER_HOME=" + home);
    if (attended) variables.push_back(std::string{kAttendedBy} + std::to_string(::getpid()));
    return variables;
}

std::vector<char*> pointers(std::vector<std::string>& strings)
{
    std::vector<char*> out;
    for (std::string& text : strings)
        out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// posix_spawn's two tables, destroyed together.
struct SpawnSettings {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};

    explicit SpawnSettings(int report)
    {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        for (const int fd : {0, 1, 2})
            posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
        posix_spawn_file_actions_adddup2(&actions, report, kReportFd);
        // What a shell left open here must not stay open for as long as the daemon lives.
        posix_spawn_file_actions_addclosefrom_np(&actions, kReportFd + 1);
        posix_spawn_file_actions_addchdir_np(&actions, "/");
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                  POSIX_SPAWN_SETSIGDEF);
    }
    ~SpawnSettings()
    {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnSettings(const SpawnSettings&) = delete;
    SpawnSettings& operator=(const SpawnSettings&) = delete;
};

struct Spawned {
    pid_t pid = 0;
    ipc::UniqueFd report;
};

std::expected<Spawned, std::string> spawn(const std::string& program, const std::string& home,
                                          Beginning beginning, bool attended)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0)
        return std::unexpected("cannot make a pipe: " + ipc::errno_text(errno));
    Spawned spawned{.pid = 0, .report = ipc::UniqueFd{ends[0]}};
    const ipc::UniqueFd write_end{ends[1]};

    const SpawnSettings settings{write_end.get()};
    std::vector<std::string> arguments{"clusterd", "--daemon", "--report-fd",
                                       std::to_string(kReportFd)};
    if (beginning == Beginning::empty) arguments.emplace_back("--no-autorestore");
    std::vector<std::string> environment = daemon_environment(home, attended);
    const int error =
        ::posix_spawn(&spawned.pid, program.c_str(), &settings.actions, &settings.attributes,
                      pointers(arguments).data(), pointers(environment).data());
    if (error != 0)
        return std::unexpected(fmt::format("cannot run {}: {}", program, ipc::errno_text(error)));
    return spawned;
}

std::string how_it_ended(pid_t pid)
{
    int status = 0;
    pid_t ended = 0;
    do {
        ended = ::waitpid(pid, &status, WNOHANG);
    } while (ended < 0 && errno == EINTR);
    if (ended == pid && WIFEXITED(status))
        return fmt::format("clusterd exited with code {} before it was ready", WEXITSTATUS(status));
    if (ended == pid && WIFSIGNALED(status))
        return fmt::format("clusterd was ended by signal {} before it was ready", WTERMSIG(status));
    return "clusterd ended before it was ready";
}

/// The line that clusterd reports. Errors: it died, or said nothing until `deadline`.
std::expected<std::string, std::string> read_report(const Spawned& spawned, const ipc::Clock& clock,
                                                    milliseconds deadline)
{
    std::string line;
    while (line.find('\n') == std::string::npos) {
        const milliseconds left = deadline - clock.now();
        pollfd readable{.fd = spawned.report.get(), .events = POLLIN, .revents = 0};
        const int ready = ::poll(&readable, 1, static_cast<int>(std::max(left, 0ms).count()));
        if (ready == 0) return std::unexpected("clusterd was started but did not become ready");
        if (ready < 0) continue; // EINTR
        std::array<char, 4096> chunk;
        const ssize_t got = ::read(spawned.report.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::unexpected(how_it_ended(spawned.pid));
        line.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return line.substr(0, line.find('\n'));
}

/// Starts clusterd and waits for its word: "ready", or "busy" when another one is.
std::expected<std::string, std::string> start_once(const std::string& home, const ipc::Clock& clock,
                                                   Beginning beginning, bool attended,
                                                   milliseconds deadline)
{
    const std::string program = find_clusterd();
    if (program.empty())
        return std::unexpected("clusterd was found neither beside clusterctl nor in PATH; "
                               "set CLUSTERD to where it is");
    const auto spawned = spawn(program, home, beginning, attended);
    if (!spawned) return std::unexpected(spawned.error());
    auto report = read_report(*spawned, clock, deadline);
    if (!report || *report == "ready" || *report == "busy") return report;
    std::string_view text = *report;
    if (text.starts_with("error: ")) text.remove_prefix(7);
    return std::unexpected(std::string{text});
}

std::string failure(const std::string& home, const std::string& what)
{
    const ipc::HomePaths paths{home};
    return fmt::format("cannot reach the daemon of {}: {} (socket {}, log {})", home, what,
                       paths.socket, paths.log);
}

bool executable(const std::string& path)
{
    return ::access(path.c_str(), X_OK) == 0;
}

} // namespace

bool means_no_daemon(const ipc::Error& error)
{
    return error.code == std::errc::no_such_file_or_directory ||
           error.code == std::errc::connection_refused;
}

std::string find_clusterd()
{
    if (const char* given = std::getenv("CLUSTERD"); given != nullptr && *given != '\0') {
        std::error_code ignored; // what cannot be made absolute fails with its name when it is run
        return std::filesystem::absolute(given, ignored).string();
    }
    std::array<char, 4096> buffer;
    const ssize_t size = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    if (size > 0) {
        const std::string_view self{buffer.data(), static_cast<std::size_t>(size)};
        const std::string beside{std::string{self.substr(0, self.rfind('/'))} + "/clusterd"};
        if (executable(beside)) return beside;
    }
    const char* path = std::getenv("PATH");
    std::string_view folders = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    while (!folders.empty()) {
        const auto colon = folders.find(':');
        const std::string candidate = std::string{folders.substr(0, colon)} + "/clusterd";
        if (candidate.front() == '/' && executable(candidate)) return candidate;
        folders.remove_prefix(colon == folders.npos ? folders.size() : colon + 1);
    }
    return {};
}

std::expected<ipc::Client, std::string> connect_or_start(const std::string& home,
                                                         const ipc::Clock& clock,
                                                         const std::function<void()>& on_start,
                                                         Beginning beginning)
{
    // The daemon would make one of that name below "/", where it runs.
    if (!home.starts_with('/'))
        return std::unexpected(
            failure(home, "it is a relative path, and the working directory is not there"));
    const milliseconds deadline = clock.now() + kDeadline;
    milliseconds wait = kFirstWait;
    milliseconds next_spawn{0};
    bool announced = false;
    while (true) {
        auto client = ipc::Client::connect(home);
        if (client) return std::move(*client);
        if (!means_no_daemon(client.error()))
            return std::unexpected(failure(home, client.error().text()));
        const milliseconds now = clock.now();
        const bool held = home_is_held(home);
        if (now >= deadline)
            return std::unexpected(failure(
                home, fmt::format("nothing after {} s, {}; last: {}", kDeadline.count() / 1000,
                                  held ? "the daemon of `clusterctl run` does not answer"
                                       : "another clusterd holds the lock but does not "
                                         "answer",
                                  client.error().text())));
        if (now >= next_spawn && !held) {
            if (!std::exchange(announced, true)) on_start();
            if (beginning == Beginning::restored && start_by_service(home, clock)) {
                next_spawn = clock.now() + kSpawnPause;
                continue;
            }
            if (const auto started = start_once(home, clock, beginning, false, deadline); !started)
                return std::unexpected(failure(home, started.error()));
            next_spawn = clock.now() + kSpawnPause;
            continue;
        }
        pause_for(wait);
        wait = std::min(wait * 2, kLongestWait);
    }
}

std::expected<ipc::Client, std::string> start_attended(const std::string& home,
                                                       const ipc::Clock& clock, Beginning beginning)
{
    const auto started = start_once(home, clock, beginning, true, clock.now() + kDeadline);
    if (!started) return std::unexpected(failure(home, started.error()));
    if (*started == "busy")
        return std::unexpected(fmt::format(
            "a daemon serves {} already: start the apps there (`clusterctl start`), end it "
            "(`clusterctl kill`), or set CLUSTER_HOME to another folder",
            home));
    auto client = ipc::Client::connect(home);
    if (!client) return std::unexpected(failure(home, client.error().text()));
    return std::move(*client);
}

std::optional<ipc::Client> connect_again(const std::string& home, const ipc::Clock& clock)
{
    const milliseconds deadline = clock.now() + kReturnLimit;
    while (clock.now() < deadline) {
        auto client = ipc::Client::connect(home);
        // One that ends on purpose removes its socket.
        if (!client && client.error().code == std::errc::no_such_file_or_directory) break;
        if (client && client->call("ping", ipc::json::object())) return std::move(*client);
        pause_for(kReturnPause);
    }
    return std::nullopt;
}

} // namespace cluster::cli
