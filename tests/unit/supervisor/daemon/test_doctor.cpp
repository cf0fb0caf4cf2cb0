#include "supervisor/daemon/doctor.hpp"

#include "tests/support/scripted_system.hpp"
#include "tests/unit/supervisor/sys/fake_proc.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using tests::add_process;
using tests::ScriptedSystem;

namespace {

constexpr pid_t kWorker = 500;
constexpr pid_t kGuardian = 400;
constexpr std::uint64_t kStarted = 1000;

/// One worker of "api" that listens on 3001 (socket 31) and logs into pipes 21 and 22.
SavedState one_worker()
{
    SavedState state;
    state.environments[1] = std::make_shared<const ipc::Environment>();
    SavedApp app;
    app.environment = 1;
    app.spec.name = "api";
    app.spec.listen.push_back({.text = "3001", .name = "3001"});
    state.apps[1] = std::move(app);
    SavedWorker row;
    row.app = 1;
    WorkerRecord& record = row.known.record;
    record.key = 7;
    record.id = 0;
    record.unique_id = "u-0";
    record.pid = record.tree = kWorker;
    record.start_time = kStarted;
    record.life.state = State::online;
    row.known.out = 21;
    row.known.err = 22;
    row.known.sockets = {31};
    state.workers[7] = std::move(row);
    state.listeners = {{.address = "3001", .sockets = {{.inode = 31, .live = true}}}};
    return state;
}

MarkedProcess marked(pid_t pid, std::string unique_id, pid_t parent = 1, pid_t session = 0)
{
    MarkedProcess process;
    process.stat.pid = pid;
    process.stat.parent = parent;
    process.stat.session = session == 0 ? pid : session;
    process.unique_id = std::move(unique_id);
    return process;
}

void set_command(ScriptedSystem& system, pid_t pid, const std::string& command)
{
    system.files[fmt::format("/proc/{}/cmdline", pid)] = command;
}

void open_in(ScriptedSystem& system, pid_t pid, const std::vector<std::string>& links)
{
    int fd = 0;
    for (const std::string& link : links)
        system.links[fmt::format("/proc/{}/fd/{}", pid, fd++)] = link;
}

/// The only finding.
Finding only(const Findings& findings)
{
    REQUIRE(findings.size() == 1);
    return findings.front();
}

} // namespace

TEST_CASE("doctor: a row's process is the one that was started")
{
    const struct {
        const char* name;
        bool there;
        std::uint64_t started;
        Grade want;
    } rows[] = {
        {"it lives", true, kStarted, Grade::ok},
        {"another one has its pid", true, kStarted + 1, Grade::problem},
        {"it is gone", false, 0, Grade::problem},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        if (row.there) add_process(system, {.pid = kWorker, .start_time = row.started});
        Findings findings;
        check_processes(system, one_worker(), findings);
        CHECK(only(findings).grade == row.want);
    }
}

TEST_CASE("doctor: a process of this home that is in no row is told by its pid")
{
    Findings findings;
    check_strays(one_worker(), {marked(kWorker, "u-0"), marked(501, "u-0", kWorker)}, findings);
    CHECK(only(findings).grade == Grade::ok);
    findings.clear();
    check_strays(one_worker(), {marked(kWorker, "u-0"), marked(777, "u-9")}, findings);
    CHECK(only(findings).grade == Grade::problem);
    CHECK(only(findings).advice == "kill 777");
}

TEST_CASE("doctor: a second process of a row is one that nobody of the row has made")
{
    const struct {
        const char* name;
        std::vector<MarkedProcess> marked;
        const char* command; ///< of 600
        Grade want;
    } rows[] = {
        {"alone", {marked(kWorker, "u-0")}, "app", Grade::ok},
        {"a child",
         {marked(kWorker, "u-0"), marked(600, "u-0", kWorker, kWorker)},
         "app",
         Grade::ok},
        {"a grandchild with a session of its own",
         {marked(600, "u-0", 550), marked(kWorker, "u-0"), marked(550, "u-0", kWorker, kWorker)},
         "app",
         Grade::ok},
        {"an orphan of another program",
         {marked(kWorker, "u-0"), marked(600, "u-0")},
         "helper",
         Grade::ok},
        {"another row's", {marked(kWorker, "u-0"), marked(600, "u-1")}, "app", Grade::ok},
        {"the same program, made by somebody else",
         {marked(kWorker, "u-0"), marked(600, "u-0")},
         "app",
         Grade::problem},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        set_command(system, kWorker, "app");
        set_command(system, 600, row.command);
        Findings findings;
        check_doubles(system, one_worker(), row.marked, findings);
        CHECK(only(findings).grade == row.want);
    }
}

TEST_CASE("doctor: the guardian holds what the next manager needs, and little else")
{
    const std::vector<std::string> needed{
        "pipe:[21]",  "pipe:[22]", "socket:[31]", "/dev/null", "anon_inode:[eventpoll]",
        "socket:[90]"};
    const struct {
        const char* name;
        std::vector<std::string> links;
        Grade want;
        const char* what;
    } rows[] = {
        {"all", needed, Grade::ok, "it lives and holds 3 descriptors"},
        {"one is missing",
         {"pipe:[21]", "socket:[31]"},
         Grade::problem,
         "it holds 2 of 3 descriptors that the next manager needs"},
        {"there is none",
         {},
         Grade::problem,
         "there is none: a crash of the manager would end the daemon"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        open_in(system, kGuardian, row.links);
        Findings findings;
        check_guardian(system, one_worker(), kGuardian, findings);
        CHECK(only(findings).grade == row.want);
        CHECK(only(findings).what == row.what);
    }
}

TEST_CASE("doctor: descriptors that pile up in the guardian are told")
{
    ScriptedSystem system;
    std::vector<std::string> links{"pipe:[21]", "pipe:[22]", "socket:[31]"};
    for (int inode = 100; inode < 120; ++inode)
        links.push_back(fmt::format("pipe:[{}]", inode));
    open_in(system, kGuardian, links);
    Findings findings;
    check_guardian(system, one_worker(), kGuardian, findings);
    CHECK(only(findings).grade == Grade::warning);
}

TEST_CASE("doctor: the state on disk is readable and that of now")
{
    const std::string path = "/h/state.json";
    const std::string good =
        R"({"version":2,"readable_by":2,"environments":[{"number":1,"values":{}}],)"
        R"("apps":[{"number":1,"spec":{"name":"api","script":"/srv/api"},"environment":1}],)"
        R"("workers":[{"key":7,"id":0,"app":1,"wanted":true}]})"
        "\n";
    std::string rests = good;
    rests.replace(rests.find("true"), 4, "false");
    const struct {
        const char* name;
        std::string text;
        const char* fault;
        Grade want;
    } rows[] = {
        {"as it is", good, "", Grade::ok},
        {"it was to be stopped then", rests, "", Grade::problem},
        {"no JSON", "{", "", Grade::problem},
        {"the last write failed", good, "no space left on device", Grade::problem},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        system.files[path] = row.text;
        Findings findings;
        check_state(system, one_worker(), path, row.fault, findings);
        CHECK(only(findings).grade == row.want);
    }
}

TEST_CASE("doctor: no state file is right as long as there is nothing to keep")
{
    ScriptedSystem system;
    Findings findings;
    check_state(system, SavedState{}, "/h/state.json", "", findings);
    CHECK(only(findings).grade == Grade::ok);
    findings.clear();
    check_state(system, one_worker(), "/h/state.json", "", findings);
    CHECK(only(findings).grade == Grade::problem);
}

TEST_CASE("doctor: a declared address has a live socket, and its worker holds it")
{
    ScriptedSystem system;
    open_in(system, kWorker, {"pipe:[21]", "socket:[31]"});
    Findings findings;
    check_sockets(system, one_worker(), findings);
    CHECK(only(findings).grade == Grade::ok);

    findings.clear();
    SavedState deaf = one_worker();
    deaf.listeners[0].sockets[0].live = false;
    check_sockets(system, deaf, findings);
    CHECK(only(findings).grade == Grade::problem);

    findings.clear();
    system.links.clear();
    open_in(system, kWorker, {"pipe:[21]"});
    check_sockets(system, one_worker(), findings);
    CHECK(only(findings).grade == Grade::warning);
}

TEST_CASE("doctor: log files can be written")
{
    ScriptedSystem system;
    system.files["/logs/a"] = "";
    system.files["/logs/locked"] = "";
    system.fail_always("open /logs/locked", EACCES);
    const struct {
        const char* name;
        LogPath log;
        Grade want;
    } rows[] = {
        {"there", {.app = "api", .path = "/logs/a", .in_use = true}, Grade::ok},
        {"none", {.app = "api", .path = "/dev/null", .in_use = true}, Grade::ok},
        {"removed", {.app = "api", .path = "/logs/gone", .in_use = true}, Grade::warning},
        {"not made yet", {.app = "api", .path = "/logs/gone", .in_use = false}, Grade::ok},
        {"not ours", {.app = "api", .path = "/logs/locked", .in_use = true}, Grade::problem},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Findings findings;
        check_logs(system, {row.log}, findings);
        CHECK(only(findings).grade == row.want);
    }
    // No fault of the logs, and said once.
    for (const int error : {EMFILE, ENFILE}) {
        ScriptedSystem full;
        full.fail_always("open /logs", error);
        Findings findings;
        check_logs(full, {rows[0].log, rows[4].log}, findings);
        CHECK(only(findings).grade == Grade::warning);
        CHECK(only(findings).advice.find("restart") == std::string::npos);
    }
}
