// clusterctl: parse, call, print. Builds the real clock, system and descriptors, and nothing else.
#include "cli/run.hpp"
#include "ipc/base/home.hpp"
#include "ipc/base/standard_fds.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

int main(int argc, char** argv)
{
    using namespace cluster;
    ipc::open_missing_standard_fds();
    // A reader that goes away must not end the command half-way through its work.
    std::signal(SIGPIPE, SIG_IGN);

    cli::Output out{STDOUT_FILENO, cli::detect_style(STDOUT_FILENO)};
    cli::Output err{STDERR_FILENO, cli::detect_style(STDERR_FILENO)};
    const ipc::SystemClock clock;
    ipc::LinuxSystem system;
    const std::string home = ipc::cluster_home();
    cli::Session session{
        home, clock, [&] {
            if (!err.terminal()) return;
            err.write(cli::message_line(
                cli::Level::info, fmt::format("Starting the daemon in {}", home), err.style()));
            err.flush();
        }};
    const char* empty = std::getenv("CLUSTER_NO_AUTORESTORE");
    if (empty != nullptr && *empty != '\0' && std::string_view{empty} != "0") session.begin_empty();
    cli::Context context{out, err, session, clock, system};

    int code = cli::run({argv + 1, argv + argc}, context);
    out.flush();
    if (out.error() != 0 && out.error() != EPIPE) {
        context.error(fmt::format("cannot write to stdout: {}", ipc::errno_text(out.error())));
        code = cli::kFailed;
    }
    return code;
}
