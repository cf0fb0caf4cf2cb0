#include "cli/finding.hpp"
#include "cli/host_checks.hpp"
#include "cli/host_facts.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster;
using namespace cluster::cli;
using nlohmann::json;

namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

/// A machine and a daemon of a user on which nothing is wrong.
HostFacts good_host()
{
    HostFacts host;
    host.uid = 1000;
    host.paths = ipc::HomePaths{"/home/u/.clusterctl"};
    host.kernel = "6.1.0-18-amd64";
    host.open_files = Limit{524288, 524288}; // the daemon's, which has raised them
    host.processes = Limit{30000, 30000};
    host.own_processes = 40;
    host.threads = 500;
    host.pid_max = 4194304;
    host.files_open = 2000;
    host.file_max = kUnlimited;
    host.pipe_pages = 16384;
    host.somaxconn = 4096;
    host.ptrace_scope = 0;
    host.volumes = {{"/home/u/.clusterctl", 8UL << 30U, 16UL << 30U, 900'000, 1'000'000}};
    host.home = FileRights{0700, 1000};
    host.socket = FileRights{0600, 1000};
    host.daemons = {41};
    host.wall_ms = 1'790'000'000'000;
    return host;
}

DaemonFacts good_daemon()
{
    return {.pid = 42,
            .guardian_pid = 41,
            .version = "0.1.0",
            .wall_ms = 1'790'000'000'000,
            .workers = 4,
            .listeners = 1,
            .backlogs = {{"3001", 511}},
            .folders = {}};
}

/// "check: verdict" of everything that is not ok.
std::vector<std::string> complaints(const std::vector<Finding>& findings)
{
    std::vector<std::string> found;
    for (const Finding& finding : findings)
        if (finding.verdict != Verdict::ok)
            found.push_back(finding.check +
                            (finding.verdict == Verdict::problem ? ": problem" : ": warning"));
    return found;
}

} // namespace

TEST_CASE("doctor: a machine on which nothing bites has no complaints, with a daemon or without")
{
    const DaemonFacts daemon = good_daemon();
    CHECK(complaints(check_host(good_host(), &daemon)).empty());
    HostFacts alone = good_host();
    alone.daemons.clear();
    alone.open_files = Limit{40, 524288}; // a daemon would raise them
    CHECK(complaints(check_host(alone, nullptr)).empty());
}

TEST_CASE("doctor: each limit that bites is told")
{
    using Spoil = std::function<void(HostFacts&, DaemonFacts&)>;
    const struct {
        const char* name;
        Spoil spoil;
        const char* want;
    } rows[] = {
        {"three descriptors for each worker",
         [](HostFacts& host, DaemonFacts& daemon) {
             host.open_files = Limit{1024, 1024};
             daemon.workers = 400;
         },
         "open files: problem"},
        {"nearly as many as are allowed",
         [](HostFacts& host, DaemonFacts& daemon) {
             host.open_files = Limit{1024, 1024};
             daemon.workers = 300;
         },
         "open files: warning"},
        {"a limit that was lowered under the daemon",
         [](HostFacts& host, DaemonFacts&) { host.open_files = Limit{40, 20000}; },
         "open files: problem"},
        {"processes of the user", [](HostFacts& host, DaemonFacts&) { host.own_processes = 29000; },
         "processes: warning"},
        {"all processes of the user",
         [](HostFacts& host, DaemonFacts&) { host.own_processes = 30000; }, "processes: problem"},
        {"pids of the machine",
         [](HostFacts& host, DaemonFacts&) {
             host.threads = 30000;
             host.pid_max = 32768;
         },
         "threads: warning"},
        {"open files of the machine",
         [](HostFacts& host, DaemonFacts&) {
             host.files_open = 100;
             host.file_max = 100;
         },
         "system files: problem"},
        {"pages for pipes", [](HostFacts&, DaemonFacts& daemon) { daemon.workers = 600; },
         "pipes: warning"},
        {"a backlog that is cut", [](HostFacts& host, DaemonFacts&) { host.somaxconn = 128; },
         "backlog: warning"},
        {"little space",
         [](HostFacts& host, DaemonFacts&) { host.volumes[0].bytes_free = 50UL << 20U; },
         "disk space: warning"},
        {"no space", [](HostFacts& host, DaemonFacts&) { host.volumes[0].bytes_free = 0; },
         "disk space: problem"},
        {"no inodes", [](HostFacts& host, DaemonFacts&) { host.volumes[0].files_free = 0; },
         "inodes: problem"},
        {"an old kernel", [](HostFacts& host, DaemonFacts&) { host.kernel = "5.8.1"; },
         "kernel: warning"},
        {"a kernel without pidfd_getfd",
         [](HostFacts& host, DaemonFacts&) { host.kernel = "5.4.0-1"; }, "kernel: problem"},
        {"no take-over", [](HostFacts& host, DaemonFacts&) { host.ptrace_scope = 1; },
         "take-over: warning"},
        {"an open home", [](HostFacts& host, DaemonFacts&) { host.home = FileRights{0755, 1000}; },
         "home: problem"},
        {"somebody else's home",
         [](HostFacts& host, DaemonFacts&) { host.home = FileRights{0700, 0}; }, "home: problem"},
        {"an open socket",
         [](HostFacts& host, DaemonFacts&) { host.socket = FileRights{0666, 1000}; },
         "socket: problem"},
        {"another daemon", [](HostFacts& host, DaemonFacts&) { host.daemons = {41, 77}; },
         "one daemon: problem"},
        {"another time", [](HostFacts& host, DaemonFacts&) { host.wall_ms += 60'000; },
         "clock: warning"},
        {"a unit that another daemon keeps from running",
         [](HostFacts& host, DaemonFacts&) { host.unit = "clusterctl-a.service"; },
         "systemd: warning"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        HostFacts host = good_host();
        DaemonFacts daemon = good_daemon();
        row.spoil(host, daemon);
        CHECK(complaints(check_host(host, &daemon)) == std::vector<std::string>{row.want});
    }
}

TEST_CASE("doctor: what limits a user does not limit root")
{
    HostFacts host = good_host();
    DaemonFacts daemon = good_daemon();
    host.uid = 0;
    host.own_processes = 40'000;
    host.ptrace_scope = 1;
    daemon.workers = 600;
    CHECK(complaints(check_host(host, &daemon)).empty());
}

TEST_CASE("doctor: what cannot be read is not judged")
{
    HostFacts host;
    host.kernel = "6.1.0";
    for (const Finding& finding : check_host(host, nullptr))
        CHECK(finding.verdict == Verdict::ok);
}

TEST_CASE("doctor: limits and numbers are read as the kernel writes them")
{
    const std::string limits =
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max processes             unlimited            63000                processes \n"
        "Max open files            1024                 1048576              files     \n";
    const auto files = find_limit(limits, "Max open files");
    REQUIRE(files);
    CHECK(files->soft == 1024);
    CHECK(files->hard == 1048576);
    CHECK(find_limit(limits, "Max processes")->soft == kUnlimited);
    CHECK_FALSE(find_limit(limits, "Max locked memory"));
    CHECK_FALSE(find_limit("Max open files", "Max open files"));
    CHECK(number_at("4064\t0\t9223372036854775807\n", 2) == 9223372036854775807UL);
    CHECK(number_at("16384\n", 0) == 16384);
    CHECK_FALSE(number_at("16384\n", 1));
}

TEST_CASE("doctor: a guardian is known by its program and its home")
{
    using std::string_view;
    using namespace std::string_view_literals;
    const struct {
        const char* name;
        string_view command;
        string_view environment;
        bool want;
    } rows[] = {
        {"by the environment", "clusterd\0--daemon\0"sv, "A=1\0CLUSTER_HOME=/h\0"sv, true},
        {"by the option", "/usr/bin/clusterd\0--foreground\0--home\0/h\0"sv, ""sv, true},
        {"the option counts", "clusterd\0--home\0/other\0"sv, "CLUSTER_HOME=/h\0"sv, false},
        {"another home", "clusterd\0--daemon\0"sv, "CLUSTER_HOME=/h/2\0"sv, false},
        {"a manager", "clusterd\0--manager\0--home\0/h\0"sv, "CLUSTER_HOME=/h\0"sv, false},
        {"an editor of its log", "vi\0clusterd.log\0"sv, "CLUSTER_HOME=/h\0"sv, false},
        {"nothing", ""sv, "CLUSTER_HOME=/h\0"sv, false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(is_guardian_of("/h", row.command, row.environment) == row.want);
    }
}

TEST_CASE("doctor: findings of the daemon are read, a verdict of a newer one is a warning")
{
    const auto findings = findings_in(
        {{"findings",
          {{{"verdict", "ok"}, {"check", "strays"}, {"what", "none"}},
           {{"verdict", "problem"}, {"check", "state"}, {"what", "bad"}, {"advice", "do"}},
           {{"verdict", "fatal"}, {"check", "new"}, {"what", "?"}}}}});
    CHECK(complaints(findings) == std::vector<std::string>{"state: problem", "new: warning"});
    CHECK(findings_in(json::object()).empty());
}

TEST_CASE("doctor: a line for each, advice only where there is something to do, and a summary")
{
    const std::vector<Finding> findings{
        {.check = "strays", .what = "no process is unmanaged", .where = "x", .advice = "y"},
        {.verdict = Verdict::problem,
         .check = "state",
         .what = "it cannot be written",
         .where = "/h/state.json",
         .advice = "see to the disk"}};
    CHECK(findings_text(findings, {}) ==
          "ok       strays           no process is unmanaged\n"
          "problem  state            it cannot be written (/h/state.json)\n"
          "                          to do: see to the disk\n"
          "\n"
          "1 problem, 0 warnings.\n");
    CHECK(findings_text({findings[0]}, {}).ends_with("\nEverything is as it should be.\n"));
    const json told = findings_json(findings);
    CHECK(told["problems"] == 1);
    CHECK(told["warnings"] == 0);
    CHECK(told["findings"][1]["verdict"] == "problem");
}
