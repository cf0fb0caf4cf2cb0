// clusterapp: the bundled HTTP server. Its settings come from the environment, so that any
// supervisor can run it; see `clusterapp --help`.
#include "app/application.hpp"
#include "app/base/line_log.hpp"
#include "app/capacity.hpp"
#include "app/env_files.hpp"
#include "app/settings.hpp"
#include "ipc/base/version.hpp"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace cluster;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kHelp = R"(clusterapp: the API server that comes with clusterctl

Usage: clusterapp [--worker | --capacity USERS [--json] | --help | --version]

--capacity says what so many users need: instances, connections, memory.

It listens on the sockets that it is given (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; see
sd_listen_fds(3)), else on HOST and PORT. SIGINT and SIGTERM let it finish what is in flight; a
second one ends it at once. Exit codes: 0 done, 1 failed, 2 wrong settings.

With --worker it opens no port: it works for the background queue, as many such processes as you
like. The settings are those of the servers.

  /                   a greeting with instance and pid
  /health             200 while it takes new requests, else 503 (also /health/ready)
  /health/live        200 as long as it runs
  /metrics            figures for Prometheus
  /api/openapi.json   all other routes
  /slow?ms=N          answers after N milliseconds (at most 30000)

Settings are environment variables, and below them those of $ENV_FILE, .env.$NODE_ENV and .env.
docs/app.md has all of them. The most common ones:

  PORT, HOST           default 3001, all addresses
  DATABASE_URL         postgresql://…; without it SQLite in DATA_DIR
  REDIS_URL            redis://…; without it shared by the instances of this host alone
  DATA_DIR             default ./data
  JWT_SECRET           at least 32 characters; needed with DATABASE_URL or REDIS_URL
  TRUST_PROXY          default off; a number of proxies, or their networks
  LOG_LEVEL, LOG_FORMAT, ACCESS_LOG     default info, json, on
  DRAIN_TIMEOUT_MS     default 4000; after it, what is still in flight is dropped
)";

/// Every fault at once, one line each.
int tell_faults(const std::vector<std::string>& faults)
{
    for (const std::string& fault : faults)
        std::fprintf(stderr, "clusterapp: %s\n", fault.c_str());
    return kUsage;
}

int plan(int argc, char** argv)
{
    const bool as_json = argc == 4 && std::string_view{argv[3]} == "--json";
    if (argc != 3 && !as_json) {
        std::fputs("clusterapp: usage: clusterapp --capacity USERS [--json]\n", stderr);
        return kUsage;
    }
    app::Environment environment = app::load_environment(app::read_environment(environ), ".");
    const int pool = environment.number("DATABASE_CONNECTION_LIMIT", 10, 1, 10'000);
    if (!environment.faults().empty()) return tell_faults(environment.faults());
    std::string answer;
    const bool done = app::answer_capacity(argv[2], as_json, pool, answer);
    if (done) return std::fputs(answer.c_str(), stdout) < 0;
    std::fprintf(stderr, "clusterapp: %s\n", answer.c_str());
    return kUsage;
}

/// Each connection needs a descriptor, and the usual soft limit is 1024. The hard limit is what the
/// user has allowed.
void raise_open_files()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(bool worker)
{
    app::Environment environment = app::load_environment(app::read_environment(environ), ".");
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    app::Settings settings = app::read_settings(environment, ::getpid(), terminal, worker);
    if (!environment.faults().empty()) return tell_faults(environment.faults());

    const ipc::SystemClock clock;
    app::LineSink out{STDOUT_FILENO};
    app::LineSink err{STDERR_FILENO};
    app::LineLog log{clock, settings.log_level, settings.log_format, out, err};
    app::Clusterapp application{std::move(settings), clock, log, out};
    const int code = application.run();
    if (application.stuck()) std::_Exit(code);
    return code;
}

} // namespace

int main(int argc, char** argv)
try {
    const bool worker = argc == 2 && std::string_view{argv[1]} == "--worker";
    if (argc > 1 && !worker) {
        const std::string_view option = argv[1];
        if (argc == 2 && option == "--help") return std::fputs(kHelp, stdout) < 0;
        if (argc == 2 && option == "--version") return std::puts(cluster::ipc::version()) < 0;
        if (option == "--capacity") return plan(argc, argv);
        std::fprintf(stderr, "clusterapp: unknown argument %s; see clusterapp --help\n", argv[1]);
        return kUsage;
    }
    // A password takes 19 MiB for a moment: given back, not kept for the next one (man 3 mallopt).
    ::mallopt(M_MMAP_THRESHOLD, 4 << 20);
    raise_open_files();
    std::signal(SIGPIPE, SIG_IGN); // a log reader that went away must not end the server

    return serve(worker);
} catch (const std::exception& error) {
    std::fprintf(stderr, "clusterapp: %s\n", error.what());
    return kFailed;
}
