// clusterd: one binary plays guardian and manager. Started by clusterctl (`--daemon`), by a service
// manager or a person (`--foreground`), or by the guardian (`--manager`); a process that
// becomes the guardian by exec is told so (`--take-over`). `--check-state` and `--compress` start
// no daemon.
#include "ipc/base/home.hpp"
#include "ipc/base/standard_fds.hpp"
#include "ipc/base/version.hpp"
#include "supervisor/daemon/compress.hpp"
#include "supervisor/daemon/guardian.hpp"
#include "supervisor/daemon/loop.hpp"
#include "supervisor/daemon/manager.hpp"
#include "supervisor/daemon/state.hpp"
#include "supervisor/daemon/take_over.hpp"
#include "supervisor/sys/host.hpp"
#include "supervisor/sys/service_group.hpp"

#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

namespace {

using namespace cluster;

constexpr int kNextAttemptMs = 100;

struct Options {
    std::string home = ipc::cluster_home();
    bool daemon = false;
    bool foreground = false;
    bool manager = false;
    bool begin_empty = false;
    int report_fd = -1;
    int take_over_fd = -1;
    std::string state_to_check;
    bool free_group = false;
    std::string file_to_compress;
    std::string compress_as;
};

ipc::Result<void> prepare_home(ipc::System& system, const ipc::HomePaths& paths)
{
    if (auto fits = ipc::check_socket_path(paths.socket); !fits) return fits;
    if (auto made = system.make_directories(paths.home, 0700); !made) return made;
    if (auto made = system.make_directories(paths.logs, 0755); !made) return made;
    return system.make_directories(paths.pids, 0755);
}

/// What any library or a crash says on stdout or stderr stands in the daemon's log.
void redirect_output(ipc::System& system, const std::string& path)
{
    const auto log = system.open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (!log) return;
    ::dup2(log->get(), STDOUT_FILENO);
    ::dup2(log->get(), STDERR_FILENO);
}

int failed(const Options& options, const ipc::Error& error)
{
    const bool busy = error.code == std::errc::resource_unavailable_try_again;
    if (busy) {
        supervisor::report(options.report_fd, "busy");
        if (options.foreground)
            std::fprintf(stderr, "clusterd: another daemon serves %s\n", options.home.c_str());
        return options.foreground ? 1 : 0;
    }
    supervisor::report(options.report_fd, "error: " + error.text());
    std::fprintf(stderr, "clusterd: %s\n", error.text().c_str());
    return 1;
}

ipc::Result<void> begin(supervisor::Guardian& guardian, const Options& options)
{
    if (options.take_over_fd < 0) return guardian.start();
    const auto all = supervisor::receive_take_over(ipc::UniqueFd{options.take_over_fd});
    if (!all) return std::unexpected(all.error());
    guardian.go_on(*all);
    return {};
}

/// Whoever takes over goes on until there is one: what it holds is in nobody else's hands.
ipc::Result<std::unique_ptr<boost::asio::io_context>> loop_for(ipc::System& system,
                                                               const Options& options)
{
    auto loop = supervisor::make_loop(system);
    while (!loop && options.take_over_fd >= 0) {
        std::fprintf(stderr, "clusterd: %s\n", loop.error().text().c_str());
        ::poll(nullptr, 0, kNextAttemptMs);
        loop = supervisor::make_loop(system);
    }
    return loop;
}

int run_guardian(const Options& options)
{
    const ipc::HomePaths paths{options.home};
    ipc::LinuxSystem system;
    // Whoever takes over goes on with what there is.
    if (auto ready = prepare_home(system, paths); !ready && options.take_over_fd < 0)
        return failed(options, ready.error());
    if (!options.foreground) redirect_output(system, paths.log);

    const auto loop = loop_for(system, options);
    if (!loop) return failed(options, loop.error());
    supervisor::LinuxLauncher launcher;
    const auto log = supervisor::Log::open("-", "guardian");
    supervisor::Guardian guardian{
        **loop,
        system,
        launcher,
        *log,
        {.paths = paths, .foreground = options.foreground, .begin_empty = options.begin_empty}};
    if (auto started = begin(guardian, options); !started) return failed(options, started.error());
    supervisor::report(options.report_fd, "ready");
    if (options.report_fd >= 0) ::close(options.report_fd);
    supervisor::release_idle_memory();
    (*loop)->run();
    return guardian.exit_code();
}

/// Says our version, if we can go on with the state in this file; else why not.
int check_state(const std::string& path)
{
    ipc::LinuxSystem system;
    const auto text = system.read_file(path);
    const auto state = text ? supervisor::parse_state(*text) : std::unexpected(text.error().text());
    std::printf("%s\n", state ? ipc::version() : state.error().c_str());
    return state ? 0 : 1;
}

int free_group()
{
    ipc::LinuxSystem system;
    const auto freed = supervisor::free_group_of_service(system);
    if (!freed) std::fprintf(stderr, "clusterd: %s\n", freed.error().text().c_str());
    return freed ? 0 : 1;
}

int compress(const Options& options)
{
    supervisor::become_background();
    ipc::LinuxSystem system;
    const auto as = options.compress_as == "gzip" ? ipc::Compression::gzip : ipc::Compression::zstd;
    const auto done = supervisor::compress_log(system, ipc::HomePaths{options.home},
                                               options.file_to_compress, as);
    if (!done)
        std::fprintf(stderr, "clusterd: compress %s: %s\n", options.file_to_compress.c_str(),
                     done.error().text().c_str());
    return done ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    ipc::open_missing_standard_fds();
    // Small is the point: one arena, and freed memory goes back instead of staying for later.
    ::mallopt(M_ARENA_MAX, 1);
    ::mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    std::signal(SIGPIPE, SIG_IGN);

    ::prctl(PR_SET_NAME, "clusterd"); // after an exec of /proc/self/exe it is "exe"

    Options options;
    CLI::App app{"clusterd: the daemon of clusterctl. Usually started by clusterctl itself."};
    app.add_flag("--foreground", options.foreground,
                 "Stay in the foreground and log to stderr, for systemd (Type=notify)");
    app.add_option("--home", options.home, "Where to keep everything; default $CLUSTER_HOME");
    app.add_flag("--no-autorestore", options.begin_empty,
                 "Bring nothing back, end what an earlier daemon left running; `clusterctl "
                 "resurrect` still finds it");
    app.add_flag("--daemon", options.daemon)->group("");
    app.add_flag("--manager", options.manager)->group("");
    app.add_option("--report-fd", options.report_fd)->group("");
    app.add_option("--take-over", options.take_over_fd)->group("");
    app.add_option("--check-state", options.state_to_check,
                   "Whether this version can go on with the state in a file: says its version, or "
                   "what is wrong");
    app.add_flag("--free-group", options.free_group)->group(""); // units of `clusterctl startup`
    app.add_option("--compress", options.file_to_compress)->group(""); // started by the manager
    app.add_option("--as", options.compress_as)->group("")->check(CLI::IsMember({"zstd", "gzip"}));
    app.set_version_flag("--version,-V", ipc::version());
    app.footer("Example:\n  CLUSTER_HOME=/var/lib/clusterctl clusterd --foreground");
    CLI11_PARSE(app, argc, argv);

    if (!options.state_to_check.empty()) return check_state(options.state_to_check);
    if (options.free_group) return free_group();
    if (!options.file_to_compress.empty()) return compress(options);
    if (options.manager) {
        return cluster::supervisor::run_manager(cluster::ipc::HomePaths{options.home},
                                                options.foreground, options.begin_empty);
    }
    return run_guardian(options);
}
