// clusterapp: the bundled HTTP server. Its settings come from the environment, so that any
// supervisor can run it; see `clusterapp --help`.
#include "app/listener.hpp"
#include "app/options.hpp"
#include "app/server.hpp"
#include "ipc/base/notify.hpp"
#include "ipc/base/version.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <utility>

namespace {

using namespace cluster;
namespace asio = boost::asio;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kHelp = R"(clusterapp: a small HTTP server that is easy to supervise

Usage: clusterapp [--help | --version]

It listens on the sockets that it is given (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; see
sd_listen_fds(3)), else on HOST and PORT. SIGINT and SIGTERM let it finish what is in flight; a
second one ends it at once.

  /               a greeting with instance and pid
  /health         200 while it takes new requests, 503 while it stops (also /health/ready)
  /health/live    200 as long as it runs
  /slow?ms=N      answers after N milliseconds (at most 30000)

Environment:
  PORT                   default 3001; 0 lets the system choose
  HOST                   an address; default all of them
  NODE_APP_INSTANCE      the number of this worker, shown in the answers
  NOTIFY_SOCKET          told READY=1 and STOPPING=1
  HEADER_TIMEOUT_MS      default 10000
  BODY_TIMEOUT_MS        default 30000
  KEEP_ALIVE_TIMEOUT_MS  default 65000
  WRITE_TIMEOUT_MS       default 30000
  DRAIN_TIMEOUT_MS       default 4000; after it, what is still in flight is dropped
)";

int fail(const ipc::Error& error)
{
    std::fprintf(stderr, "clusterapp: %s\n", error.text().c_str());
    return kFailed;
}

void tell(const std::string& socket_path, std::string_view state)
{
    if (const auto told = ipc::notify(socket_path, state); !told)
        std::fprintf(stderr, "clusterapp: %s\n", told.error().text().c_str());
}

ipc::Result<std::vector<app::ListeningSocket>> open_sockets(const app::Options& options)
{
    if (!options.passed.empty()) return app::take_over(options.passed);
    auto bound = app::bind_listener(options.host, options.port);
    if (!bound) return std::unexpected(bound.error());
    std::vector<app::ListeningSocket> sockets;
    sockets.push_back(std::move(*bound));
    return sockets;
}

/// The first signal drains, a second one drops what is left.
void wait_for_signal(asio::signal_set& signals, app::Server& server, const std::string& notify)
{
    signals.async_wait([&](const boost::system::error_code& code, int number) {
        if (code) return; // the server has finished
        std::printf("%s: finishing what is in flight\n", number == SIGINT ? "SIGINT" : "SIGTERM");
        tell(notify, "STOPPING=1");
        signals.async_wait([&server](const boost::system::error_code& second, int) {
            if (!second) server.cut();
        });
        server.drain();
    });
}

int serve(const app::Options& options)
{
    // Before anything is announced: a signal that comes early must find its handler.
    asio::io_context io{1};
    asio::signal_set signals{io, SIGINT, SIGTERM};
    auto sockets = open_sockets(options);
    if (!sockets) return fail(sockets.error());
    for (const auto& socket : *sockets)
        std::printf("listening on %s%s\n", socket.label.c_str(),
                    socket.own ? "" : " (from the supervisor)");

    const ipc::SystemClock clock;
    app::Service service{.clock = clock,
                         .limits = options.limits,
                         .instance = options.instance,
                         .started = clock.now()};
    app::Server server{io, service, std::move(*sockets), [&signals] { signals.cancel(); }};
    wait_for_signal(signals, server, options.notify_socket);
    server.start();
    tell(options.notify_socket, "READY=1");
    io.run();

    if (server.dropped() == 0) return EXIT_SUCCESS;
    std::fprintf(stderr, "clusterapp: dropped %zu connections that did not end in time\n",
                 server.dropped());
    return kFailed;
}

} // namespace

int main(int argc, char** argv)
try {
    if (argc > 1) {
        const std::string_view option = argv[1];
        if (argc == 2 && option == "--help") return std::fputs(kHelp, stdout) < 0;
        if (argc == 2 && option == "--version") return std::puts(cluster::ipc::version()) < 0;
        std::fprintf(stderr, "clusterapp: unknown argument %s; see clusterapp --help\n", argv[1]);
        return kUsage;
    }
    // Each line at once, also when stdout is a file or a pipe.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    std::signal(SIGPIPE, SIG_IGN); // a log reader that went away must not end the server

    const auto options = app::parse_options(app::read_environment(environ), ::getpid());
    if (!options) return fail(options.error());
    return serve(*options);
} catch (const std::exception& error) {
    std::fprintf(stderr, "clusterapp: %s\n", error.what());
    return kFailed;
}
