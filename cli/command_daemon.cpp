// Commands about the daemon itself: ping, kill.
#include "cli/commands.hpp"
#include "cli/daemon_starter.hpp"
#include "cli/process_view.hpp"
#include "cli/progress.hpp"
#include "ipc/base/home.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

/// The processes that a daemon says it consists of.
std::vector<ipc::UniqueFd> processes_of(ipc::Client& client, ipc::System& system)
{
    std::vector<ipc::UniqueFd> pidfds;
    (void)client.call("ping", json::object()); // it says so with its first answer
    for (const char* name : {"pid", "guardian_pid"}) {
        const auto pid = static_cast<pid_t>(member_number(client.about(), name));
        if (auto pidfd = pid > 0 ? system.pidfd_open(pid) : ipc::fail(ESRCH, name))
            pidfds.push_back(std::move(*pidfd));
    }
    return pidfds;
}

/// Waits until nobody listens in the home any more and the daemon's processes are gone, so that
/// whoever called us may remove its files. False after the limit.
bool wait_for_end(const std::string& home, const std::vector<ipc::UniqueFd>& daemons,
                  const ipc::Clock& clock)
{
    const milliseconds deadline = clock.now() + kEndLimit;
    while (true) {
        const auto client = ipc::Client::connect(home);
        if (!client && means_no_daemon(client.error())) break;
        if (clock.now() >= deadline) return false;
        ::poll(nullptr, 0, kEndPauseMs);
    }
    for (const ipc::UniqueFd& daemon : daemons) {
        pollfd end{.fd = daemon.get(), .events = POLLIN, .revents = 0};
        const auto left = std::max(deadline - clock.now(), milliseconds{0});
        if (::poll(&end, 1, static_cast<int>(left.count())) == 0) return false;
    }
    return true;
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

/// Nobody listens. The exit code, or nothing when there is a daemon to be ended now.
std::optional<int> kill_without_daemon(bool leave_workers, Context& context)
{
    if (leave_workers || !was_killed(context.session.home()))
        return say_stopped(context, "No daemon is running");
    // Only a daemon can find what is left and forget it.
    if (const auto pong = context.session.call("ping", json::object()); !pong)
        return context.fail(pong.error());
    return std::nullopt;
}

/// Asks again when the daemon is replaced meanwhile: the next one may not know of it.
ipc::RpcResult<json> ask_to_end(ipc::Client client, const json& params,
                                std::vector<ipc::UniqueFd>& daemons, Context& context)
{
    Progress progress{context, {.verb = "stopping"}};
    while (true) {
        daemons = processes_of(client, context.system);
        auto answer = client.call("kill", params, [&](std::string_view method, const json& body) {
            progress.on_notification(method, body);
        });
        if (answer || answer.error().code != ipc::kUnreachable) return answer;
        auto again = connect_again(context.session.home(), context.clock);
        if (!again) return answer;
        client = std::move(*again);
    }
}

int count_running(ipc::Client& client)
{
    const auto answer = client.call("list", json::object());
    if (!answer) return 0;
    const json processes = answer->value("processes", json::array());
    return static_cast<int>(std::ranges::count_if(
        processes, [](const json& process) { return member_number(process, "pid") > 0; }));
}

int say_left(int workers, Context& context)
{
    if (context.json_output) {
        context.print_json({{"left", workers}});
        return kDone;
    }
    context.info("[v] Daemon Stopped");
    context.info(fmt::format("{} process{} on without a daemon; the next command takes {} back, "
                             "such as `clusterctl list`",
                             workers, workers == 1 ? " goes" : "es go",
                             workers == 1 ? "it" : "them"));
    return kDone;
}

int run_kill(bool leave_workers, Context& context)
{
    const std::string& home = context.session.home();
    auto client = ipc::Client::connect(home);
    if (!client && means_no_daemon(client.error())) {
        if (const auto code = kill_without_daemon(leave_workers, context)) return *code;
        client = ipc::Client::connect(home);
    }
    if (!client) return context.fail(client.error().text(), kNoDaemon);

    const int left = leave_workers ? count_running(*client) : 0;
    const json params = leave_workers ? json{{"leave_workers", true}} : json::object();
    std::vector<ipc::UniqueFd> daemons;
    const auto answer = ask_to_end(std::move(*client), params, daemons, context);
    // Somebody else's `kill` was quicker: what was asked happens all the same.
    const int code = answer ? 0 : answer.error().code;
    const bool leaving = code == ipc::kShuttingDown || code == ipc::kUnreachable;
    if (!answer && !leaving) return context.fail(answer.error());
    if (!wait_for_end(home, daemons, context.clock))
        return answer ? context.fail("all processes are stopped, but the daemon does not end")
                      : context.fail(answer.error());
    if (code == ipc::kUnreachable && was_killed(home)) return context.fail(answer.error());
    if (leave_workers) return say_left(left, context);
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
    auto leave_workers = std::make_shared<bool>(false);
    parser.add_flag("--leave-workers", *leave_workers,
                    "End the daemon alone: the processes go on, and the next command starts a "
                    "daemon that takes them back with their counters and logs");
    parser.callback(
        [leave_workers, &context] { context.exit_code = run_kill(*leave_workers, context); });
}

} // namespace cluster::cli
