// doctor: what the daemon finds out about itself and its processes, and what this machine allows.
#include "cli/commands.hpp"
#include "cli/daemon_starter.hpp"
#include "cli/host_checks.hpp"
#include "cli/services.hpp"
#include "ipc/base/home.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {
namespace {

/// Nothing is started for it: a daemon that is not there is a finding.
Finding no_daemon(const ipc::HomePaths& paths)
{
    if (::access(paths.pid.c_str(), F_OK) != 0)
        return {.check = "daemon", .what = "none runs; the first command starts one"};
    return {.verdict = Verdict::problem,
            .check = "daemon",
            .what = "it was killed, guardian and manager; processes may run without it",
            .where = paths.pid,
            .advice = "any other command starts a daemon that takes them back: clusterctl list"};
}

Finding unreachable(const ipc::HomePaths& paths, const std::string& why)
{
    return {.verdict = Verdict::problem,
            .check = "daemon",
            .what = why,
            .where = paths.socket,
            .advice = "look into " + paths.log};
}

/// A state that a daemon would refuse is told where no daemon is there to do it.
std::optional<Finding> saved_state(const ipc::HomePaths& paths, ipc::System& system)
{
    const auto text = system.read_file(paths.state);
    if (!text && text.error().code == std::errc::no_such_file_or_directory) return std::nullopt;
    const bool good = text && json::accept(*text);
    return Finding{.verdict = good ? Verdict::ok : Verdict::problem,
                   .check = "state",
                   .what = good   ? "can be read"
                           : text ? "is no JSON"
                                  : text.error().text(),
                   .where = paths.state,
                   .advice = good ? "" : "the next daemon puts it aside and takes an older one"};
}

/// Whether systemd is to run this daemon, and does.
void read_unit(HostFacts& host, pid_t guardian, ipc::System& system)
{
    if (!systemd_runs()) return;
    const auto unit = find_unit(system, host.paths.home, config_folder(current_environment()));
    if (!unit) return;
    host.unit = unit->name;
    const auto groups = system.read_file(fmt::format("/proc/{}/cgroup", guardian));
    host.in_unit = groups && groups->contains("/" + unit->name);
}

/// `daemon`: what it tells of itself; null when there is none.
int print_findings(const std::vector<Finding>& findings, const json& daemon, Context& context)
{
    if (context.json_output) {
        json all = findings_json(findings);
        all["daemon"] = daemon;
        context.print_json(all);
    }
    if (!context.json_output && !context.silent)
        context.out.write(findings_text(findings, context.out.style()));
    return count(findings, Verdict::problem) == 0 ? kDone : kFailed;
}

/// One connection at a time: a daemon without descriptors has room for no more.
bool is_reached(const ipc::HomePaths& paths)
{
    const auto client = ipc::Client::connect(paths.home);
    return client || !means_no_daemon(client.error());
}

int run_doctor(Context& context)
{
    const ipc::HomePaths paths{context.session.home()};
    std::vector<Finding> findings;
    std::optional<DaemonFacts> daemon;
    json told;
    const bool reached = is_reached(paths);
    if (!reached) {
        findings.push_back(no_daemon(paths));
        if (auto state = saved_state(paths, context.system)) findings.push_back(std::move(*state));
    } else if (const auto answer = context.session.call("doctor", json::object()); answer) {
        daemon = daemon_facts(*answer);
        told = answer->value("daemon", json{});
        findings = findings_in(*answer);
    } else {
        findings.push_back(unreachable(paths, answer.error().message));
    }
    std::vector<std::string> folders{paths.home};
    if (daemon) folders.insert(folders.end(), daemon->folders.begin(), daemon->folders.end());
    HostFacts host = read_host_facts(context.system, paths, daemon ? daemon->pid : 0, folders);
    host.wall_ms = context.clock.wall_ms();
    if (daemon) read_unit(host, daemon->guardian_pid, context.system);
    if (reached && !daemon) host.daemons.clear(); // which of them is the right one is unknown
    for (Finding& finding : check_host(host, daemon ? &*daemon : nullptr))
        findings.push_back(std::move(finding));
    return print_findings(findings, told, context);
}

} // namespace

void add_doctor(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_doctor(context); });
}

} // namespace cluster::cli
