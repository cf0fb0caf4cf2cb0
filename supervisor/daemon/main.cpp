// clusterd: one binary plays guardian and manager. Started by clusterctl (`--daemon`), by a service
// manager or a person (`--foreground`), or by the guardian (`--manager`).
#include "ipc/base/home.hpp"
#include "ipc/base/standard_fds.hpp"
#include "supervisor/daemon/guardian.hpp"
#include "supervisor/daemon/manager.hpp"
#include "supervisor/sys/host.hpp"

#include <CLI/CLI.hpp>

#include <boost/asio/io_context.hpp>

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

namespace {

using namespace cluster;

struct Options {
    std::string home = ipc::cluster_home();
    bool daemon = false;
    bool foreground = false;
    bool manager = false;
    int report_fd = -1;
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

int run_guardian(const Options& options)
{
    const ipc::HomePaths paths{options.home};
    ipc::LinuxSystem system;
    if (auto ready = prepare_home(system, paths); !ready) return failed(options, ready.error());
    if (!options.foreground) redirect_output(system, paths.log);

    boost::asio::io_context loop{1};
    supervisor::LinuxLauncher launcher;
    const auto log = supervisor::Log::open("-", "guardian");
    supervisor::Guardian guardian{
        loop,
        system,
        launcher,
        *log,
        {.paths = paths, .foreground = options.foreground, .report_fd = options.report_fd}};
    if (auto started = guardian.start(); !started) return failed(options, started.error());
    supervisor::report(options.report_fd, "ready");
    if (options.report_fd >= 0) ::close(options.report_fd);
    supervisor::release_idle_memory();
    loop.run();
    return guardian.exit_code();
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

    Options options;
    CLI::App app{"clusterd: the daemon of clusterctl. Usually started by clusterctl itself."};
    app.add_flag("--foreground", options.foreground,
                 "Stay in the foreground and log to stderr, for systemd (Type=notify)");
    app.add_option("--home", options.home, "Where to keep everything; default $CLUSTER_HOME");
    app.add_flag("--daemon", options.daemon)->group("");
    app.add_flag("--manager", options.manager)->group("");
    app.add_option("--report-fd", options.report_fd)->group("");
    app.set_version_flag("--version,-V", CLUSTER_VERSION);
    app.footer("Example:\n  CLUSTER_HOME=/var/lib/clusterctl clusterd --foreground");
    CLI11_PARSE(app, argc, argv);

    if (options.manager) {
        return cluster::supervisor::run_manager(cluster::ipc::HomePaths{options.home},
                                                options.foreground);
    }
    return run_guardian(options);
}
