#include "supervisor/core/instances.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

using namespace cluster::supervisor;
using cluster::ipc::AppSpec;
using cluster::ipc::Environment;
using cluster::ipc::ExecMode;
using cluster::ipc::Instances;
using Numbers = std::vector<int>;

TEST_CASE("instances: each row is one wish on a machine")
{
    const struct {
        const char* name;
        std::optional<Instances> wanted;
        int cpus;
        int want;
    } rows[] = {
        {"absent is one", {}, 8, 1},
        {"a plain count ignores the CPUs", {{false, 12}}, 2, 12},
        {"max", {{true, 0}}, 4, 4},
        {"all but one", {{true, -1}}, 4, 3},
        {"more are taken away than there are", {{true, -8}}, 4, 1},
        {"zero is not a count", {{false, 0}}, 4, 1},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(resolve_instances(row.wanted, row.cpus) == row.want);
    }
}

TEST_CASE("instances: new ones get the smallest free numbers")
{
    CHECK(free_numbers({}, 3) == Numbers{0, 1, 2});
    CHECK(free_numbers({0, 1, 2}, 2) == Numbers{3, 4});
    CHECK(free_numbers({5, 0, 2}, 4) == Numbers{1, 3, 4, 6});
    CHECK(free_numbers({0, 0, 1}, 1) == Numbers{2});
    CHECK(free_numbers({1}, 0) == Numbers{});
}

TEST_CASE("instances: a scale-down takes the highest numbers, whatever their ids")
{
    const std::vector<InstanceView> have{{7, 0}, {3, 2}, {9, 1}, {4, 3}};
    CHECK(plan_scale(have, 6) == ScalePlan{.add = 2, .remove = {}});
    CHECK(plan_scale(have, 4) == ScalePlan{});
    CHECK(plan_scale(have, 2) == ScalePlan{.add = 0, .remove = {4, 3}});
    CHECK(plan_scale(have, 1) == ScalePlan{.add = 0, .remove = {4, 3, 9}});
    CHECK(plan_scale({}, 3) == ScalePlan{.add = 3, .remove = {}});
}

TEST_CASE("instances: the words of `scale`")
{
    const struct {
        const char* text;
        int have;
        int want; ///< 0: refused
    } rows[] = {
        {"3", 1, 3},         {"+2", 3, 5},    {"-1", 3, 2}, {"max", 3, 4},
        {"10000", 1, 10000}, {"0", 1, 0},     {"-3", 3, 0}, {"10001", 1, 0},
        {"+1", 10000, 0},    {"", 1, 0},      {"+", 1, 0},  {"--1", 1, 0},
        {"+-1", 1, 0},       {"three", 1, 0}, {"3 ", 1, 0}, {"99999999999999999999", 1, 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto outcome = parse_scale(row.text, row.have, 4);
        CHECK(outcome.value_or(0) == row.want);
    }
    CHECK(parse_scale("many", 1, 4).error() ==
          "instances must be a number from 1 to 10000, +N, -N or max, got many");
    CHECK(parse_scale("-3", 2, 4).error() ==
          "instances must be from 1 to 10000 in the end, got -3 on 2");
}

namespace {

AppSpec api()
{
    AppSpec spec;
    spec.name = "api";
    spec.name_space = "shop";
    spec.script = "/srv/api.js";
    spec.interpreter = "/usr/bin/node";
    spec.cwd = "/srv";
    return spec;
}

const WorkerIdentity kThird{.id = 7,
                            .number = 2,
                            .instances = 4,
                            .unique_id = "0af3",
                            .home = "/home/u/.clusterctl",
                            .out_file = "/log/api-out-7.log",
                            .error_file = "/log/api-error-7.log",
                            .pid_file = "/pids/api-7.pid"};

const Environment kOurs{{"CLUSTER_HOME", "/home/u/.clusterctl"},
                        {"NODE_APP_INSTANCE", "2"},
                        {"exec_interpreter", "/usr/bin/node"},
                        {"exec_mode", "fork_mode"},
                        {"instances", "4"},
                        {"name", "api"},
                        {"namespace", "shop"},
                        {"pm_cwd", "/srv"},
                        {"pm_err_log_path", "/log/api-error-7.log"},
                        {"pm_exec_path", "/srv/api.js"},
                        {"pm_id", "7"},
                        {"pm_out_log_path", "/log/api-out-7.log"},
                        {"pm_pid_path", "/pids/api-7.pid"},
                        {"unique_id", "0af3"}};

Environment with(Environment base, const Environment& more)
{
    for (const auto& [name, value] : more)
        base[name] = value;
    return base;
}

} // namespace

TEST_CASE("environment: inherited, then the app's own, then ours")
{
    AppSpec spec = api();
    spec.env = {{"B", "app"}, {"C", "app"}, {"name", "mine"}};
    const Environment inherited{{"A", "shell"}, {"B", "shell"}, {"pm_cwd", "shell"}};
    CHECK(worker_environment(spec, inherited, kThird) ==
          with(kOurs, {{"A", "shell"}, {"B", "app"}, {"C", "app"}}));
}

TEST_CASE("environment: what is about the daemon or the caller itself is not inherited")
{
    const Environment inherited{
        {"LISTEN_FDS", "1"},       {"LISTEN_FDNAMES", "x"},
        {"LISTEN_PID", "4"},       {"NOTIFY_SOCKET", "/run/x"},
        {"NODE_CHANNEL_FD", "3"},  {"NODE_CHANNEL_SERIALIZATION_MODE", "json"},
        {"NODE_UNIQUE_ID", "1"},   {"WATCHDOG_PID", "4"},
        {"WATCHDOG_USEC", "1"},    {"JOURNAL_STREAM", "8:1"},
        {"NODE_ENV", "production"}};
    CHECK(worker_environment(api(), inherited, kThird) ==
          with(kOurs, {{"NODE_ENV", "production"}}));
    AppSpec spec = api();
    spec.env = {{"NODE_UNIQUE_ID", "9"}};
    CHECK(worker_environment(spec, {}, kThird) == with(kOurs, {{"NODE_UNIQUE_ID", "9"}}));
}

TEST_CASE("environment: a worker that calls clusterctl does not pass on who it is")
{
    Environment outer{{"pm_id", "3"},        {"name", "outer"},       {"unique_id", "ffff"},
                      {"restart_time", "2"}, {"status", "launching"}, {"NODE_APP_INSTANCE", "1"},
                      {"PATH", "/bin"}};
    AppSpec spec = api();
    spec.instance_var = "INSTANCE";
    Environment want = with(kOurs, {{"INSTANCE", "2"}, {"PATH", "/bin"}});
    want.erase("NODE_APP_INSTANCE");
    CHECK(worker_environment(spec, outer, kThird) == want);

    outer.erase("pm_id"); // an ordinary shell that happens to have such a variable
    CHECK(worker_environment(spec, outer, kThird).at("status") == "launching");
}

TEST_CASE("environment: filter_env drops inherited variables whose name contains a word")
{
    AppSpec spec = api();
    spec.filter_env = {"AWS_", "SECRET", ""};
    spec.env = {{"AWS_REGION", "app"}};
    const Environment inherited{
        {"AWS_KEY", "x"}, {"MY_SECRET_X", "x"}, {"PATH", "/bin"}, {"aws_", "kept"}};
    CHECK(worker_environment(spec, inherited, kThird) ==
          with(kOurs, {{"AWS_REGION", "app"}, {"PATH", "/bin"}, {"aws_", "kept"}}));
    spec.inherit_env = false;
    CHECK(worker_environment(spec, inherited, kThird) == with(kOurs, {{"AWS_REGION", "app"}}));
}

TEST_CASE("environment: increment_var counts up from the value of the app")
{
    const struct {
        const char* name;
        Environment inherited;
        Environment env;
        const char* want;
    } rows[] = {
        {"from the app's env", {}, {{"PORT", "3000"}}, "3002"},
        {"from what is inherited", {{"PORT", "80"}}, {}, "82"},
        {"from nothing", {}, {}, "2"},
        {"a word stays as it is", {}, {{"PORT", "http"}}, "http"},
        {"a number at its end stays", {}, {{"PORT", "9223372036854775807"}}, "9223372036854775807"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        AppSpec spec = api();
        spec.increment_var = "PORT";
        spec.env = row.env;
        CHECK(worker_environment(spec, row.inherited, kThird).at("PORT") == row.want);
    }
}

TEST_CASE("environment: cluster mode is called as PM2 calls it")
{
    AppSpec spec = api();
    spec.exec_mode = ExecMode::cluster;
    CHECK(worker_environment(spec, {}, kThird).at("exec_mode") == "cluster_mode");
}
