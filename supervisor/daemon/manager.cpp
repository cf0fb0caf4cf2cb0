#include "supervisor/daemon/manager.hpp"

#include "ipc/base/clock.hpp"
#include "ipc/net/server.hpp"
#include "supervisor/daemon/control.hpp"
#include "supervisor/daemon/guardian.hpp"
#include "supervisor/daemon/store.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/host.hpp"

#include <boost/asio/signal_set.hpp>
#include <boost/asio/write.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

/// Everything the manager is made of, in the order in which it is built and torn down.
class Manager {
public:
    Manager(const ipc::HomePaths& paths, bool foreground);
    int run();

private:
    void watch_guardian();
    void watch_signals();
    void quit();

    boost::asio::io_context loop_{1};
    ipc::LinuxSystem system_;
    LinuxLauncher launcher_;
    ipc::SystemClock clock_;
    std::unique_ptr<Log> log_;
    Supervisor supervisor_;
    Store store_;
    Control control_;
    ipc::Server server_;
    boost::asio::posix::stream_descriptor guardian_;
    char message_ = 0;
    boost::asio::signal_set signals_{loop_};
    boost::asio::steady_timer quit_timer_{loop_};
};

Manager::Manager(const ipc::HomePaths& paths, bool foreground)
    : log_{Log::open(foreground ? "-" : paths.log, "manager")},
      supervisor_{Surroundings{.loop = loop_,
                               .system = system_,
                               .launcher = launcher_,
                               .clock = clock_,
                               .log = *log_,
                               .paths = paths,
                               .reapers = {::getppid()}}},
      store_{loop_, system_, *log_, paths.state},
      control_{supervisor_, loop_, store_, *log_, [this] { quit(); }},
      server_{loop_, ipc::UniqueFd{kListenerFd},
              ipc::Greeting{.version = CLUSTER_VERSION,
                            .pid = ::getpid(),
                            .guardian_pid = ::getppid(),
                            .home = paths.home},
              [this](const std::shared_ptr<ipc::Session>& session, ipc::Request request) {
                  control_.on_request(session, std::move(request));
              }},
      guardian_{loop_, kControlFd}
{
    // The launcher hands descriptors over without close-on-exec; workers must not get these.
    for (const int fd : {kControlFd, kListenerFd, kLockFd})
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int Manager::run()
{
    raise_open_file_limit();
    log_->info(fmt::format("clusterd {} serves {}", CLUSTER_VERSION, ::getpid()));
    watch_signals();
    watch_guardian();
    control_.restore();
    server_.start();
    boost::asio::async_write(guardian_, boost::asio::buffer("r", 1),
                             [](error_code, std::size_t) {});
    loop_.run();
    return 0;
}

void Manager::watch_guardian()
{
    guardian_.async_read_some(boost::asio::buffer(&message_, 1),
                              [this](error_code failure, std::size_t) {
                                  if (!failure) return watch_guardian();
                                  if (failure == boost::asio::error::operation_aborted) return;
                                  // Workers go on. Orphans come to us from now on.
                                  log_->error("the guardian is gone: carrying on without it");
                                  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
                                  supervisor_.set_reapers({::getpid()});
                              });
}

void Manager::watch_signals()
{
    for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGHUP}) {
        error_code ignored;
        signals_.add(signal, ignored);
    }
    signals_.async_wait([this](error_code cancelled, int signal) {
        if (cancelled) return;
        if (signal != SIGHUP) {
            log_->info("told to stop: stopping everything");
            control_.stop_all([this] { quit(); });
        }
        watch_signals();
    });
}

/// Gives answers that are under way a moment, then ends.
void Manager::quit()
{
    server_.stop_accepting();
    quit_timer_.expires_after(std::chrono::milliseconds{20});
    quit_timer_.async_wait([this](error_code) { loop_.stop(); });
}

} // namespace

int run_manager(const ipc::HomePaths& paths, bool foreground)
{
    return Manager{paths, foreground}.run();
}

} // namespace cluster::supervisor
