#include "supervisor/daemon/json_object.hpp"
#include "supervisor/daemon/render.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using nlohmann::ordered_json;

namespace {

std::string json_text(std::string_view text)
{
    std::string out;
    append_json(out, text);
    return out;
}

/// Parses and fails the test when a key stands twice in one object: JSON allows it, readers differ.
ordered_json parse_strictly(const std::string& text)
{
    std::vector<std::set<std::string>> open;
    return ordered_json::parse(text,
                               [&](int, ordered_json::parse_event_t event, ordered_json& value) {
                                   if (event == ordered_json::parse_event_t::object_start)
                                       open.emplace_back();
                                   if (event == ordered_json::parse_event_t::object_end)
                                       open.pop_back();
                                   if (event == ordered_json::parse_event_t::key) {
                                       CAPTURE(value.get<std::string>());
                                       CHECK(open.back().insert(value.get<std::string>()).second);
                                   }
                                   return true;
                               });
}

std::vector<std::string> keys_of(const ordered_json& object)
{
    std::vector<std::string> keys;
    for (const auto& [key, value] : object.items())
        keys.push_back(key);
    return keys;
}

ipc::AppSpec app()
{
    ipc::AppSpec spec;
    spec.name = "web";
    spec.instances = ipc::Instances{.relative = false, .count = 2};
    spec.interpreter = "/usr/bin/node";
    spec.args = {"--verbose"};
    return spec;
}

ordered_json pm2_of(tests::Machine& m, const Worker& worker)
{
    std::string out;
    append_pm2(out, m.supervisor, worker);
    return parse_strictly(out);
}

// PM2 7.0, `pm2 start http.js -i 2 --name web`. Left out: what PM2 has only at times (pm_log_path,
// _pm2_version, prev_restart_delay); the environment's own keys stand behind vizion_running.
const std::vector<std::string> kPm2Keys{"name",
                                        "filter_env",
                                        "namespace",
                                        "args",
                                        "env",
                                        "merge_logs",
                                        "instances",
                                        "vizion",
                                        "autostart",
                                        "autorestart",
                                        "watch",
                                        "instance_var",
                                        "pmx",
                                        "automation",
                                        "treekill",
                                        "username",
                                        "windowsHide",
                                        "kill_retry_time",
                                        "node_args",
                                        "pm_exec_path",
                                        "pm_cwd",
                                        "exec_interpreter",
                                        "exec_mode",
                                        "pm_out_log_path",
                                        "pm_err_log_path",
                                        "pm_pid_path",
                                        "km_link",
                                        "vizion_running",
                                        "NODE_APP_INSTANCE",
                                        "unique_id",
                                        "status",
                                        "pm_uptime",
                                        "axm_actions",
                                        "axm_monitor",
                                        "axm_options",
                                        "axm_dynamic",
                                        "created_at",
                                        "pm_id",
                                        "restart_time",
                                        "unstable_restarts",
                                        "version",
                                        "node_version"};

} // namespace

TEST_CASE("render: any text becomes a JSON string that reads back, not UTF-8 as U+FFFD")
{
    const std::pair<std::string, std::string> rows[] = {
        {"", ""},
        {"plain text", "plain text"},
        {"a \"b\" \\ c", "a \"b\" \\ c"},
        {"line\nbreak\ttab\x01", "line\nbreak\ttab\x01"},
        {std::string{"nul\0byte", 8}, std::string{"nul\0byte", 8}},
        {"\x7f", "\x7f"},
        {"Grüße 😀", "Grüße 😀"},
        {"a\xff\xfe"
         "b",
         "a\xEF\xBF\xBD\xEF\xBF\xBD"
         "b"},
        {"cut \xF0\x9F\x98", "cut \xEF\xBF\xBD"},
    };
    for (const auto& [text, back] : rows) {
        CAPTURE(text);
        const std::string rendered = json_text(text);
        CHECK(rendered.find('\n') == std::string::npos);
        CHECK(ordered_json::parse(rendered).get<std::string>() == back);
    }
}

TEST_CASE("render: jlist has PM2's keys in PM2's order")
{
    tests::Machine m;
    const Worker& worker = m.add(app(), 1);
    const ordered_json entry = pm2_of(m, worker);
    CHECK(keys_of(entry) == std::vector<std::string>{"pid", "name", "pm2_env", "pm_id", "monit"});
    CHECK(keys_of(entry["monit"]) == std::vector<std::string>{"memory", "cpu"});
    std::vector<std::string> known;
    std::ranges::copy_if(
        keys_of(entry["pm2_env"]), std::back_inserter(known),
        [](const std::string& key) { return std::ranges::count(kPm2Keys, key) > 0; });
    CHECK(known == kPm2Keys);
}

TEST_CASE("render: jlist shows the values that scripts read")
{
    tests::Machine m;
    Worker& worker = m.add(app(), 1);
    ordered_json entry = pm2_of(m, worker);
    CHECK(entry["pid"] == 0);
    CHECK(entry["pm2_env"]["status"] == "stopped");
    CHECK(entry["pm2_env"]["pm_uptime"] == 0);
    CHECK_FALSE(entry["pm2_env"].contains("exit_code"));
    CHECK(entry["monit"] == ordered_json::parse(R"({"memory":0,"cpu":0.0})"));

    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until(worker, State::online));
    entry = pm2_of(m, worker);
    const ordered_json& env = entry["pm2_env"];
    CHECK(entry["pid"] == worker.pid);
    CHECK(entry["name"] == "web");
    CHECK(env["status"] == "online");
    CHECK(env["pm_uptime"] == m.clock.wall_ms());
    CHECK(env["exec_mode"] == "fork_mode");
    CHECK(env["exec_interpreter"] == "/usr/bin/node");
    CHECK(env["pm_exec_path"] == "/srv/app");
    CHECK(env["args"] == ordered_json::parse(R"(["--verbose"])"));
    CHECK(env["instances"] == 2);
    CHECK(env["NODE_APP_INSTANCE"] == 1); // PM2 section 15: a number, and not in `env`
    CHECK_FALSE(env["env"].contains("NODE_APP_INSTANCE"));
    CHECK(env["USER"] == "u");        // the environment, flat
    CHECK(env["env"]["USER"] == "u"); // and as an object
    CHECK(env["version"] == "N/A");

    m.launcher.end(worker.pid, {.code = 3, .signal = 0});
    REQUIRE(m.until([&] { return worker.life.restarts == 1; }));
    CHECK(pm2_of(m, worker)["pm2_env"]["restart_time"] == 1);
}

TEST_CASE("render: variables named like PM2's own keys make no key stand twice")
{
    tests::Machine m;
    auto spec = app();
    spec.max_memory_restart = 1U << 30U;
    for (const std::string& key : kPm2Keys)
        spec.env[key] = "from the environment";
    for (const char* key : {"exit_code", "max_memory_restart", "kill_timeout", "pid", "monit"})
        spec.env[key] = "from the environment";
    Worker& worker = m.add(spec);
    worker.last_status = ipc::ExitStatus{.code = 1, .signal = 0};
    const ordered_json entry = pm2_of(m, worker); // parse_strictly looks at every object
    CHECK(entry["pm2_env"]["status"] == "stopped");
    CHECK(entry["pm2_env"]["max_memory_restart"] == 1U << 30U);
    CHECK(entry["pm2_env"]["env"]["status"] == "from the environment");
}

TEST_CASE("render: list and describe are JSON without a key twice, whatever a worker is named")
{
    tests::Machine m;
    auto spec = app();
    spec.name = "odd \"name\" \xff";
    spec.env = {{"K\xfe", "V\xfe"}};
    const Worker& worker = m.add(spec);
    std::string process;
    append_process(process, m.supervisor, worker);
    const ordered_json shown = parse_strictly(process);
    CHECK(shown["name"] == "odd \"name\" \xEF\xBF\xBD");
    CHECK(shown["exit_code"].is_null());
    std::string description;
    append_description(description, m.supervisor, worker);
    CHECK(parse_strictly(description)["kill_signal"] == "SIGINT");
}

TEST_CASE("render: the processes of an answer are those that still exist")
{
    tests::Machine m;
    CHECK(processes_text(m.supervisor, {}) == R"({"processes":[]})");
    m.add(app(), 0);
    m.add(app(), 1);
    const ordered_json all = parse_strictly(processes_text(m.supervisor, {0, 5, 1}));
    REQUIRE(all["processes"].size() == 2);
    CHECK(all["processes"][1]["id"] == 1);
}
