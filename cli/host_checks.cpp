#include "cli/host_checks.hpp"

#include "cli/process_view.hpp"
#include "ipc/base/text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace cluster::cli {
namespace {

using enum Verdict;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kOwnFiles = 64;       ///< of the daemon, without workers and listeners
constexpr std::uint64_t kFilesPerWorker = 3;  ///< two log pipes and the process itself
constexpr std::uint64_t kPagesPerWorker = 32; ///< two pipes of 64 KiB
constexpr std::uint64_t kLittleSpace = 100UL << 20U;
constexpr std::uint64_t kNoSpace = 1UL << 20U;
constexpr std::uint64_t kFewFiles = 1000;
constexpr std::int64_t kClockSlackMs = 2000;

bool nearly(std::uint64_t used, std::uint64_t limit)
{
    return limit != kUnlimited && used >= limit - limit / 5;
}

void check_open_files(const HostFacts& host, const DaemonFacts* daemon, std::vector<Finding>& into)
{
    if (!host.open_files) return;
    // The daemon raises the soft limit to the hard one when it starts; prlimit(1) may have lowered
    // it since.
    const std::uint64_t limit = daemon ? host.open_files->soft : host.open_files->hard;
    const std::uint64_t workers = daemon ? daemon->workers : 0;
    const std::uint64_t needed =
        kOwnFiles + workers * kFilesPerWorker + (daemon ? daemon->listeners : 0);
    Finding finding{.check = "open files",
                    .what = fmt::format("{} needed for {} workers, {} allowed", needed, workers,
                                        limit == kUnlimited ? "any number" : fmt::to_string(limit)),
                    .where = "RLIMIT_NOFILE"};
    if (needed > limit || nearly(needed, limit)) {
        finding.verdict = needed > limit ? problem : warning;
        finding.advice = "raise `ulimit -n` (LimitNOFILE= in a systemd unit), then "
                         "`clusterctl daemon-reexec`";
    }
    into.push_back(std::move(finding));
}

/// A number of things against its limit.
void check_share(const char* check, const char* things, const char* where, const char* advice,
                 std::optional<std::uint64_t> used, std::optional<std::uint64_t> limit,
                 std::vector<Finding>& into)
{
    if (!used || !limit) return;
    Finding finding{.check = check,
                    .what = *limit == kUnlimited
                                ? fmt::format("{} {}, no limit", *used, things)
                                : fmt::format("{} of {} {}", *used, *limit, things),
                    .where = where};
    if (nearly(*used, *limit)) {
        finding.verdict = *used >= *limit ? problem : warning;
        finding.advice = advice;
    }
    into.push_back(std::move(finding));
}

void check_counts(const HostFacts& host, std::vector<Finding>& into)
{
    // Root is not counted.
    if (host.processes && host.uid != 0)
        check_share("processes", "processes of this user", "RLIMIT_NPROC",
                    "raise `ulimit -u` (LimitNPROC= in a systemd unit)", host.own_processes,
                    host.processes->soft, into);
    check_share("threads", "threads on this machine", "/proc/sys/kernel/pid_max",
                "sysctl kernel.pid_max=4194304", host.threads, host.pid_max, into);
    check_share("system files", "open files on this machine", "/proc/sys/fs/file-max",
                "raise it with sysctl fs.file-max", host.files_open, host.file_max, into);
}

void check_pipes(const HostFacts& host, const DaemonFacts* daemon, std::vector<Finding>& into)
{
    if (!host.pipe_pages || *host.pipe_pages == 0 || host.uid == 0) return;
    const std::uint64_t needed = (daemon ? daemon->workers : 0) * kPagesPerWorker;
    Finding finding{.check = "pipes",
                    .what =
                        fmt::format("{} of {} pages for pipes needed", needed, *host.pipe_pages),
                    .where = "/proc/sys/fs/pipe-user-pages-soft"};
    if (needed > *host.pipe_pages) {
        finding.verdict = warning;
        finding.what += ": further log pipes hold 4 KiB instead of 64, and workers that log much "
                        "wait";
        finding.advice = fmt::format("sysctl fs.pipe-user-pages-soft={}", needed * 2);
    }
    into.push_back(std::move(finding));
}

void check_backlogs(const HostFacts& host, const DaemonFacts* daemon, std::vector<Finding>& into)
{
    if (!host.somaxconn || !daemon || daemon->backlogs.empty()) return;
    bool all = true;
    for (const auto& [address, length] : daemon->backlogs) {
        if (length <= *host.somaxconn) continue;
        all = false;
        into.push_back({.verdict = warning,
                        .check = "backlog",
                        .what = fmt::format("{} declares a backlog of {}, the system cuts it to {}",
                                            address, length, *host.somaxconn),
                        .where = "/proc/sys/net/core/somaxconn",
                        .advice = fmt::format("sysctl net.core.somaxconn={}", length)});
    }
    if (all)
        into.push_back({.check = "backlog",
                        .what = fmt::format("the system allows {}", *host.somaxconn),
                        .where = "/proc/sys/net/core/somaxconn"});
}

void check_volume(const Volume& volume, std::vector<Finding>& into)
{
    Finding space{.check = "disk space",
                  .what = fmt::format("{} free", format_bytes(volume.bytes_free)),
                  .where = volume.path};
    if (volume.bytes_free < kLittleSpace) {
        space.verdict = volume.bytes_free < kNoSpace ? problem : warning;
        space.advice = "make room: neither log lines nor the state can be written without";
    }
    Finding files{
        .check = "inodes", .what = fmt::format("{} free", volume.files_free), .where = volume.path};
    if (volume.files_free < kFewFiles) {
        files.verdict = volume.files_free == 0 ? problem : warning;
        files.advice = "remove files: no further one can be created without";
    }
    into.push_back(std::move(space));
    if (volume.files_total > 0) into.push_back(std::move(files));
}

/// "6.1.0-18-amd64" → 6, 1. What cannot be read is 0.
std::pair<int, int> version_of(std::string_view kernel)
{
    const auto dot = kernel.find('.');
    if (dot == kernel.npos) return {0, 0};
    const std::string_view after = kernel.substr(dot + 1);
    const std::string_view minor =
        after.substr(0, std::min(after.find_first_not_of("0123456789"), after.size()));
    return {ipc::parse_number<int>(kernel.substr(0, dot)).value_or(0),
            ipc::parse_number<int>(minor).value_or(0)};
}

void check_kernel(const HostFacts& host, std::vector<Finding>& into)
{
    const auto version = version_of(host.kernel);
    Finding finding{.check = "kernel", .what = "Linux " + host.kernel, .where = "uname -r"};
    if (version < std::pair{5, 6}) {
        finding.verdict = problem;
        finding.what += ": sockets cannot be taken back from workers (pidfd_getfd, Linux 5.6)";
        finding.advice = "use Linux 5.9 or newer";
    } else if (version < std::pair{5, 9}) {
        finding.verdict = warning;
        finding.what += " is older than what this is made for";
        finding.advice = "use Linux 5.9 or newer";
    }
    into.push_back(std::move(finding));
}

void check_take_over(const HostFacts& host, std::vector<Finding>& into)
{
    Finding finding{.check = "take-over",
                    .what = "what workers hold can be taken back when both daemons were killed"};
    if (host.uid != 0 && host.ptrace_scope.value_or(0) >= 1) {
        finding.verdict = warning;
        finding.what = "when guardian and manager are killed at once, their successor cannot take "
                       "sockets and log pipes back from the workers, and starts these anew";
        finding.where = "/proc/sys/kernel/yama/ptrace_scope";
        finding.advice = "sysctl kernel.yama.ptrace_scope=0, or give clusterd CAP_SYS_PTRACE";
    }
    into.push_back(std::move(finding));
}

void check_rights(const char* check, const std::string& path, unsigned wanted,
                  const std::optional<FileRights>& rights, uid_t uid, std::vector<Finding>& into)
{
    if (!rights) return;
    Finding finding{.check = check, .what = "is private", .where = path};
    if ((rights->mode & 0077U) != 0) {
        finding.verdict = problem;
        finding.what = fmt::format("others may use it: mode {:04o}", rights->mode);
        finding.advice = fmt::format("chmod {:04o} {}", wanted, path);
    } else if (rights->owner != uid && uid != 0) {
        finding.verdict = problem;
        finding.what = fmt::format("belongs to uid {}, you are {}", rights->owner, uid);
        finding.advice = "use a home of your own: CLUSTER_HOME";
    }
    into.push_back(std::move(finding));
}

void check_daemons(const HostFacts& host, const DaemonFacts* daemon, std::vector<Finding>& into)
{
    std::vector<pid_t> others = host.daemons;
    if (daemon)
        std::erase_if(others,
                      [&](pid_t pid) { return pid == daemon->guardian_pid || pid == daemon->pid; });
    if (others.empty()) {
        into.push_back({.check = "one daemon", .what = "no other one serves this home"});
        return;
    }
    into.push_back(
        {.verdict = problem,
         .check = "one daemon",
         .what = fmt::format("{} clusterd of this home that nobody reaches: pid {}",
                             daemon ? "there is another" : "there is a", fmt::join(others, ", ")),
         .where = host.paths.home,
         .advice = fmt::format("look into {}; end it with `kill {}`", host.paths.log,
                               fmt::join(others, " "))});
}

void check_clock(const HostFacts& host, const DaemonFacts& daemon, std::vector<Finding>& into)
{
    if (daemon.wall_ms == 0) return;
    const std::int64_t off = std::abs(host.wall_ms - daemon.wall_ms);
    Finding finding{.check = "clock", .what = "the daemon has the same time"};
    if (off > kClockSlackMs) {
        finding.verdict = warning;
        finding.what = fmt::format("the daemon's clock is {} from ours", format_duration(off));
        finding.advice = "set the clocks of host and container alike: uptimes are wrong";
    }
    into.push_back(std::move(finding));
}

void check_unit(const HostFacts& host, std::vector<Finding>& into)
{
    if (host.unit.empty()) return;
    Finding finding{.check = "systemd", .what = "runs the daemon", .where = host.unit};
    if (!host.in_unit) {
        finding.verdict = warning;
        finding.what = "has a unit for this home, and does not run this daemon";
        finding.advice = fmt::format("`systemctl start {}` takes over, and no process notices; "
                                     "`clusterctl unstartup` removes the unit",
                                     host.unit);
    }
    into.push_back(std::move(finding));
}

std::uint64_t unsigned_member(const nlohmann::json& object, const char* key)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(member_number(object, key), 0));
}

} // namespace

DaemonFacts daemon_facts(const nlohmann::json& answer)
{
    const nlohmann::json about = answer.value("daemon", nlohmann::json::object());
    DaemonFacts facts{.pid = static_cast<pid_t>(member_number(about, "pid")),
                      .guardian_pid = static_cast<pid_t>(member_number(about, "guardian_pid")),
                      .version = member_text(about, "version"),
                      .wall_ms = member_number(about, "at"),
                      .workers = unsigned_member(about, "workers"),
                      .listeners = unsigned_member(about, "listeners")};
    for (const nlohmann::json& entry : about.value("backlogs", nlohmann::json::array()))
        facts.backlogs.push_back(
            {member_text(entry, "address"), unsigned_member(entry, "backlog")});
    for (const nlohmann::json& folder : about.value("folders", nlohmann::json::array()))
        if (folder.is_string()) facts.folders.push_back(folder.get<std::string>());
    return facts;
}

std::vector<Finding> check_host(const HostFacts& host, const DaemonFacts* daemon)
{
    std::vector<Finding> findings;
    check_daemons(host, daemon, findings);
    check_rights("home", host.paths.home, 0700, host.home, host.uid, findings);
    check_rights("socket", host.paths.socket, 0600, host.socket, host.uid, findings);
    check_open_files(host, daemon, findings);
    check_counts(host, findings);
    check_pipes(host, daemon, findings);
    check_backlogs(host, daemon, findings);
    for (const Volume& volume : host.volumes)
        check_volume(volume, findings);
    check_kernel(host, findings);
    check_take_over(host, findings);
    if (daemon) check_clock(host, *daemon, findings);
    if (daemon) check_unit(host, findings);
    return findings;
}

} // namespace cluster::cli
