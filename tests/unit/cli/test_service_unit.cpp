#include "cli/service_unit.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::cli;

namespace {

DaemonUnit unit()
{
    return {.scope = Scope::system,
            .user = "deploy",
            .home = "/home/deploy/.clusterctl",
            .path = "/usr/local/bin:/usr/bin",
            .clusterd = "/opt/our programs/clusterd",
            .clusterctl = "/opt/our programs/clusterctl"};
}

bool has_line(const std::string& text, const std::string& line)
{
    return ("\n" + text).contains("\n" + line + "\n");
}

} // namespace

TEST_CASE("service unit: words of a command line mean themselves")
{
    const struct {
        const char* word;
        const char* argument; ///< variables are expanded here
        const char* program;  ///< and not here
    } rows[] = {
        {"/usr/bin/x", "/usr/bin/x", "/usr/bin/x"},
        {"a b", R"("a b")", R"("a b")"},
        {"", R"("")", R"("")"},
        {"100%", R"("100%%")", R"("100%%")"},
        {"$HOME", R"("$$HOME")", R"("$HOME")"},
        {"a\\b", R"("a\\b")", R"("a\\b")"},
        {"say \"hi\"", R"("say \"hi\"")", R"("say \"hi\"")"},
        {"it's", R"("it's")", R"("it's")"},
        {"a;b", R"("a;b")", R"("a;b")"},
        {"two\nlines", R"("two\x0alines")", R"("two\x0alines")"},
        {"münchen", "\"münchen\"", "\"münchen\""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.word);
        CHECK(exec_argument(row.word) == row.argument);
        CHECK(exec_program(row.word) == row.program);
    }
}

TEST_CASE("service unit: an assignment is one word, whatever is in it")
{
    CHECK(environment_assignment("A", "b") == R"("A=b")");
    CHECK(environment_assignment("A", "50% of \"$b\"") == R"("A=50%% of \"$b\"")");
    CHECK(plain_value("50%\nof it") == "50%% of it");
}

TEST_CASE("service unit: names are those that systemd takes")
{
    CHECK(service_name("api") == "api.service");
    CHECK(service_name("api.service") == "api.service");
    CHECK(service_name("api:1_x-2.z") == "api:1_x-2.z.service");
    for (const char* bad : {"", ".service", "a b", "a/b", "a%b", "-rf", "a@b", "a\\b", "ä"}) {
        CAPTURE(bad);
        CHECK_FALSE(service_name(bad));
    }
    CHECK_FALSE(service_name(std::string(250, 'x')));
    CHECK(as_unit_name("Max Müller@x") == "Max-M--ller-x");
}

TEST_CASE("service unit: of the system")
{
    const std::string text = daemon_unit_text(unit());
    for (const char* line : {
             "[Unit]",
             "After=network.target",
             R"(RequiresMountsFor="/home/deploy/.clusterctl")",
             "Type=notify",
             "User=deploy",
             R"(Environment="CLUSTER_HOME=/home/deploy/.clusterctl")",
             R"(ExecStart="/opt/our programs/clusterd" --foreground)",
             R"(ExecReload="/opt/our programs/clusterctl" update "/opt/our programs/clusterd")",
             "KillMode=process",
             "Restart=on-failure",
             "Delegate=yes",
             "WantedBy=multi-user.target",
         }) {
        CAPTURE(line);
        CHECK(has_line(text, line));
    }
    CHECK_FALSE(text.contains("NoNewPrivileges"));
}

TEST_CASE("service unit: for one's own systemd it names no user and takes nothing away")
{
    DaemonUnit own = unit();
    own.scope = Scope::user;
    const std::string text = daemon_unit_text(own);
    CHECK(has_line(text, "WantedBy=default.target"));
    for (const char* absent : {"User=", "CapabilityBoundingSet", "RequiresMountsFor", "After="})
        CHECK_FALSE(text.contains(absent));
}

TEST_CASE("service unit: the options")
{
    DaemonUnit other = unit();
    other.wait_ip = other.hardened = true;
    const std::string text = daemon_unit_text(other);
    CHECK(has_line(text, "After=network-online.target"));
    CHECK(has_line(text, "Wants=network-online.target"));
    CHECK(has_line(text, "NoNewPrivileges=yes"));
}

TEST_CASE("service unit: the home is found in our units and in no others")
{
    DaemonUnit odd = unit();
    odd.home = "/home/o'brien & \"co\" 50%/.clusterctl";
    CHECK(home_in_unit(daemon_unit_text(odd)) == odd.home);
    CHECK_FALSE(home_in_unit("[Service]\nExecStart=/bin/true\n"));
    CHECK_FALSE(home_in_unit(""));
}

TEST_CASE("service unit: of one file")
{
    FileUnit file{.name = "api.service",
                  .user = "deploy",
                  .path = "/usr/bin",
                  .clusterctl = "/usr/bin/clusterctl",
                  .file = "/srv/my api/ecosystem.json",
                  .folder = "/srv/my api",
                  .env_name = "production",
                  .apps = {"api", "worker"}};
    const std::string text = file_unit_text(file);
    for (
        const char* line : {
            "Description=api, worker",
            "User=deploy",
            "StateDirectory=clusterctl-api",
            "Environment=CLUSTER_HOME=%S/clusterctl-api",
            "WorkingDirectory=/srv/my api",
            R"(ExecStart=/usr/bin/clusterctl run "/srv/my api/ecosystem.json" --grace 80s --env production)",
            "KillMode=mixed",
            "TimeoutStopSec=90s",
        }) {
        CAPTURE(line);
        CHECK(has_line(text, line));
    }
    file.scope = Scope::user;
    file.user.clear();
    CHECK(has_line(file_unit_text(file), "WantedBy=default.target"));
    CHECK_FALSE(file_unit_text(file).contains("User="));
}
