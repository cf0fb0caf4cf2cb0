// Commands about the daemon itself: ping, kill.
#include "cli/commands.hpp"
#include "cli/daemon_starter.hpp"
#include "cli/progress.hpp"
#include "ipc/base/home.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <string>

namespace cluster::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kEndLimit{5000}; ///< from the answer of `kill` to the end of the daemon
constexpr int kEndPauseMs = 5;

int run_ping(Context& context)
{
    const auto answer = context.session.call("ping", json::object());
    if (!answer) return context.fail(answer.error());
    if (context.json_output)
        context.print_json(*answer);
    else if (!context.silent)
        context.out.write("{ msg: 'pong' }\n");
    return kDone;
}

/// Waits until nobody listens in the home any more. False after the limit.
bool wait_for_end(const std::string& home, const ipc::Clock& clock)
{
    const milliseconds deadline = clock.now() + kEndLimit;
    while (clock.now() < deadline) {
        const auto client = ipc::Client::connect(home);
        if (!client && means_no_daemon(client.error())) return true;
        ::poll(nullptr, 0, kEndPauseMs);
    }
    return false;
}

int say_stopped(Context& context, const char* what)
{
    context.info(what);
    if (context.json_output) context.print_json({{"processes", json::array()}});
    return kDone;
}

/// A daemon that was killed leaves its pid file behind, and may leave workers running, which the
/// next daemon would start anew.
bool was_killed(const std::string& home)
{
    return ::access(ipc::HomePaths{home}.pid.c_str(), F_OK) == 0;
}

int run_kill(Context& context)
{
    const std::string& home = context.session.home();
    auto client = ipc::Client::connect(home);
    if (!client && means_no_daemon(client.error())) {
        if (!was_killed(home)) return say_stopped(context, "No daemon is running");
        // Only a daemon can find what is left and forget it.
        if (const auto pong = context.session.call("ping", json::object()); !pong)
            return context.fail(pong.error());
        client = ipc::Client::connect(home);
    }
    if (!client) return context.fail(client.error().text(), kNoDaemon);

    Progress progress{context, {.verb = "stopping"}};
    const auto answer =
        client->call("kill", json::object(), [&](std::string_view method, const json& params) {
            progress.on_notification(method, params);
        });
    // Somebody else's `kill` was quicker: what was asked happens all the same.
    const int code = answer ? 0 : answer.error().code;
    const bool leaving = code == ipc::kShuttingDown || code == ipc::kUnreachable;
    if (!answer && !leaving) return context.fail(answer.error());
    if (!wait_for_end(home, context.clock))
        return answer ? context.fail("all processes are stopped, but the daemon does not end")
                      : context.fail(answer.error());
    if (code == ipc::kUnreachable && was_killed(home)) return context.fail(answer.error());
    context.info("[v] All Applications Stopped");
    return say_stopped(context, "[v] Daemon Stopped");
}

} // namespace

void add_ping(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_ping(context); });
}

void add_kill(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_kill(context); });
}

} // namespace cluster::cli
