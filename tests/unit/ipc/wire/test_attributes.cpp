#include "ipc/wire/attribute_table.hpp"
#include "ipc/wire/attributes.hpp"
#include "tests/unit/ipc/wire/schema_validator.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

using namespace cluster::ipc;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

struct Parsed {
    std::optional<AppSpec> spec;
    std::vector<std::string> messages;
};

Parsed parse(const json& app, const std::string& env_name = "")
{
    Diagnostics diagnostics;
    Parsed parsed{parse_app(app, {.file = "f.json", .index = 1, .env_name = env_name}, diagnostics),
                  {}};
    for (const Diagnostic& diagnostic : diagnostics)
        parsed.messages.push_back(diagnostic.text());
    return parsed;
}

bool has_script(const json& app)
{
    return std::ranges::any_of(app.items(), [](const auto& item) {
        return find_attribute(item.key()) == find_attribute("script");
    });
}

/// The specification of an app with these attributes; the script is "a.js".
AppSpec good(json app, const std::string& env_name = "")
{
    if (!has_script(app)) app["script"] = "a.js";
    Parsed parsed = parse(app, env_name);
    CAPTURE(app.dump());
    CHECK(parsed.messages.empty());
    REQUIRE(parsed.spec.has_value());
    return *parsed.spec;
}

/// The only message about an app called "api" with that one attribute.
std::string complaint(const std::string& attribute, const json& value)
{
    const Parsed parsed = parse({{"name", "api"}, {"script", "a.js"}, {attribute, value}});
    if (parsed.messages.size() != 1) return "not one message";
    return parsed.messages[0];
}

json everything()
{
    return {
        {"name", "api"},
        {"namespace", "web"},
        {"script", "/srv/api/server.js"},
        {"args", {"--port", "80"}},
        {"interpreter", "/usr/bin/node"},
        {"interpreter_args", {"--enable-source-maps"}},
        {"cwd", "/srv/api"},
        {"exec_mode", "cluster"},
        {"instances", -1},
        {"increment_var", "PORT"},
        {"instance_var", "NUMBER"},
        {"env", {{"A", "1"}, {"B", ""}}},
        {"filter_env", {"SECRET"}},
        {"listen",
         {"3001",
          {{"address", "unix:/run/x.sock"},
           {"name", "control"},
           {"backlog", 16},
           {"mode", "0660"},
           {"owner", "www-data:www-data"}},
          {{"address", "[::]:80"},
           {"name", "http"},
           {"reuse_port", true},
           {"ipv6_only", true},
           {"nodelay", true}}}},
        {"balance", "reuseport"},
        {"depends_on", {{"db", "ready"}, {"migrate", "completed"}}},
        {"uid", "www-data"},
        {"gid", "33"},
        {"umask", "0027"},
        {"memory_high", 268435456},
        {"memory_max", 536870912},
        {"cpu_max", 1.5},
        {"pids_max", 100},
        {"rlimits",
         {{"core", 0}, {"memlock", "unlimited"}, {"nofile", {{"soft", 1024}, {"hard", 65536}}}}},
        {"nice", -5},
        {"oom_score_adj", 500},
        {"no_new_privileges", true},
        {"autostart", false},
        {"autorestart", false},
        {"max_restarts", 3},
        {"min_uptime", 5000},
        {"restart_delay", 100},
        {"exp_backoff_restart_delay", 200},
        {"stop_exit_codes", {0, 143}},
        {"kill_signal", "SIGTERM"},
        {"kill_timeout", 8000},
        {"treekill", false},
        {"max_memory_restart", 1073741824},
        {"wait_ready", true},
        {"listen_timeout", 8000},
        {"ready", {{"http", "/ready"}, {"port", 3002}, {"status", {200, 204}}, {"timeout", 500}}},
        {"health", {{"exec", {"./check"}}, {"interval", 5000}, {"failures", 2}}},
        {"watchdog", 30000},
        {"shutdown_with_message", true},
        {"drain_timeout", 30000},
        {"reload", {{"max_surge", "25%"}, {"max_unavailable", 1}, {"soak", 5000}}},
        {"out_file", "/var/log/out.log"},
        {"error_file", "/dev/null"},
        {"log_file", true},
        {"log_date_format", "YYYY-MM-DD"},
        {"log_type", "json"},
        {"log_on_full", "spill"},
        {"pid_file", "/run/api.pid"},
        {"merge_logs", true},
        {"unsupported", {"watch"}},
    };
}

} // namespace

TEST_CASE("attributes: a script alone gives PM2's defaults, and a kill timeout of 5 s")
{
    const AppSpec spec = good({{"script", "dir/001-test.js"}});
    AppSpec want;
    want.script = "dir/001-test.js";
    want.name = "001-test";
    CHECK(spec == want);
    CHECK(spec.kill_timeout == 5s);
    CHECK(spec.min_uptime == 1s);
    CHECK(spec.max_restarts == 16);
    CHECK(spec.kill_signal == 2);
    CHECK(spec.name_space == "default");
    CHECK(spec.instance_var == "NODE_APP_INSTANCE");
    CHECK(spec.merged_logs());
}

TEST_CASE("attributes: every attribute survives the way to JSON and back")
{
    const AppSpec spec = good(everything());
    CHECK(to_json(spec) == everything());
    json users_own = everything();
    users_own.erase("unsupported"); // between CLI and daemon
    CHECK(test::schema_accepts(users_own));
    CHECK(good(to_json(spec)) == spec);
}

TEST_CASE("attributes: each attribute alone survives the way to JSON and back")
{
    const json all = everything();
    for (const auto& [key, value] : all.items()) {
        CAPTURE(key);
        json app{{"script", "a.js"}, {"name", "x"}};
        app[key] = value;
        const AppSpec spec = good(app);
        const json written = to_json(spec);
        CHECK(written[key] == value);
        CHECK(written.size() == (key == "script" || key == "name" ? 2 : 3));
        CHECK(good(written) == spec);
    }
}

TEST_CASE("attributes: only what differs from the default is written")
{
    CHECK(to_json(good({{"name", "x"}})) == json{{"name", "x"}, {"script", "a.js"}});
}

TEST_CASE("attributes: the default that the table names is the one that AppSpec has")
{
    for (const Attribute& attribute : attributes()) {
        if (attribute.fallback.empty()) continue;
        CAPTURE(attribute.name);
        const json value = json::parse(attribute.fallback);
        CHECK(good({{std::string{attribute.name}, value}}) == good(json::object()));
    }
}

TEST_CASE("attributes: no name, alias or camelCase form stands for two attributes")
{
    std::set<std::string> seen;
    for (const Attribute& attribute : attributes()) {
        std::set<std::string> own{std::string{attribute.name}, camel_case(attribute.name)};
        for (const std::string_view alias : attribute.aliases) {
            if (alias.empty()) continue;
            own.insert(std::string{alias});
            own.insert(camel_case(alias));
        }
        for (const std::string& name : own) {
            CAPTURE(name);
            CHECK(seen.insert(name).second);
            CHECK(find_attribute(name) == &attribute);
        }
    }
}

TEST_CASE("attributes: PM2's other spellings are understood")
{
    const struct {
        json given;
        json same_as;
    } rows[] = {
        {{{"exec", "b.js"}}, {{"script", "b.js"}}},
        {{{"cmd", "b.js"}}, {{"script", "b.js"}}},
        {{{"command", "b.js"}}, {{"script", "b.js"}}},
        {{{"exec_interpreter", "sh"}}, {{"interpreter", "sh"}}},
        {{{"node_args", "-a -b"}}, {{"interpreter_args", {"-a", "-b"}}}},
        {{{"nodeArgs", "-a"}}, {{"interpreter_args", {"-a"}}}},
        {{{"interpreterArgs", "-a"}}, {{"interpreter_args", {"-a"}}}},
        {{{"out", "o"}}, {{"out_file", "o"}}},
        {{{"output", "o"}}, {{"out_file", "o"}}},
        {{{"out_log", "o"}}, {{"out_file", "o"}}},
        {{{"outLog", "o"}}, {{"out_file", "o"}}},
        {{{"error", "e"}}, {{"error_file", "e"}}},
        {{{"err", "e"}}, {{"error_file", "e"}}},
        {{{"err_file", "e"}}, {{"error_file", "e"}}},
        {{{"err_log", "e"}}, {{"error_file", "e"}}},
        {{{"pid", "p"}}, {{"pid_file", "p"}}},
        {{{"combine_logs", true}}, {{"merge_logs", true}}},
        {{{"user", "u"}}, {{"uid", "u"}}},
        {{{"maxMemoryRestart", "1K"}}, {{"max_memory_restart", 1024}}},
        {{{"expBackoffRestartDelay", 1}}, {{"exp_backoff_restart_delay", 1}}},
    };
    for (const auto& row : rows) {
        json given = row.given;
        json same_as = row.same_as;
        given["name"] = same_as["name"] = "x";
        CHECK(good(given) == good(same_as));
    }
}

TEST_CASE("attributes: values are converted as PM2 converts them")
{
    using Words = std::vector<std::string>;
    CHECK(good({{"args", "--title 'my app' -v"}}).args == Words{"--title", "my app", "-v"});
    CHECK(good({{"args", {"a b", 80, true}}}).args == Words{"a b", "80", "true"});
    CHECK(good({{"max_restarts", "7"}}).max_restarts == 7);
    CHECK(good({{"max_restarts", 7.0}}).max_restarts == 7);
    CHECK(good({{"min_uptime", "2m"}}).min_uptime == 2min);
    CHECK(good({{"kill_timeout", "1600"}}).kill_timeout == 1600ms);
    CHECK(good({{"max_memory_restart", "300M"}}).max_memory_restart == 300ULL * 1024 * 1024);
    CHECK(good({{"max_memory_restart", "1000"}}).max_memory_restart == 1000);
    CHECK(good({{"kill_signal", "TERM"}}).kill_signal == 15);
    CHECK(good({{"kill_signal", 9}}).kill_signal == 9);
    CHECK(good({{"umask", "022"}}).umask == 022U);
    CHECK(good({{"umask", 18}}).umask == 022U);
    CHECK(good({{"uid", 1000}}).uid == "1000");
    CHECK(good({{"stop_exit_codes", 3}}).stop_exit_codes == std::vector{3});
    CHECK(good({{"stop_exit_codes", {"0", 255}}}).stop_exit_codes == std::vector{0, 255});
    CHECK(good({{"exec_mode", "cluster_mode"}}).exec_mode == ExecMode::cluster);
    CHECK(good({{"exec_mode", "fork_mode"}}).exec_mode_given);
    CHECK(good({{"out_file", "NULL"}}).out_file == "/dev/null");
    CHECK(good({{"name", 42}}).name == "42");
    CHECK(good({{"script", "a.js"}, {"cwd", nullptr}}).cwd.empty());
}

TEST_CASE("attributes: what a worker may take")
{
    CHECK(good({{"cpu_max", 0.5}}).cpu_max == 500);
    CHECK(good({{"cpu_max", "150%"}}).cpu_max == 1500);
    CHECK(good({{"cpu_max", "2"}}).cpu_max == 2000);
    CHECK(good({{"cpu_max", 0}}).cpu_max == 0);
    CHECK(good({{"pids_max", "64"}}).pids_max == 64);
    CHECK(good({{"nice", -20}}).nice == -20);
    using Limits = std::map<std::string, Rlimit>;
    CHECK(good({{"rlimits", {{"nofile", 100}}}}).rlimits == Limits{{"nofile", {100, 100}}});
    CHECK(good({{"rlimits", {{"as", "1G"}}}}).rlimits == Limits{{"as", {1U << 30U, 1U << 30U}}});
    CHECK(good({{"rlimits", {{"core", {{"soft", 0}, {"hard", "unlimited"}}}}}}).rlimits ==
          Limits{{"core", {0, kNoLimit}}});
    CHECK(good({{"rlimits", {{"core", {{"hard", 7}}}}}}).rlimits == Limits{{"core", {7, 7}}});
    for (const json& value : {json(0.001), json(-1), json("50 %"), json("x"), json(true)})
        CHECK(complaint("cpu_max", value).contains("must be"));
    for (const json& value :
         {json("64"), json{{"files", 1}}, json{{"nofile", -1}}, json{{"nofile", "lots"}},
          json{{"nofile", {{"soft", 2}, {"hard", 1}}}}, json{{"nofile", json::object()}}})
        CHECK(complaint("rlimits", value).contains("must be"));
}

TEST_CASE("attributes: instances are counted or relative to the CPUs")
{
    const struct {
        json value;
        Instances want;
        json written;
    } rows[] = {
        {1, {false, 1}, 1},     {"4", {false, 4}, 4},           {"max", {true, 0}, "max"},
        {0, {true, 0}, "max"},  {"0", {true, 0}, "max"},        {-1, {true, -1}, -1},
        {"-2", {true, -2}, -2}, {10000, {false, 10000}, 10000},
    };
    for (const auto& row : rows) {
        CAPTURE(row.value.dump());
        const AppSpec spec = good({{"instances", row.value}});
        CHECK(spec.instances == row.want);
        CHECK(to_json(spec)["instances"] == row.written);
        CHECK_FALSE(spec.merged_logs());
    }
}

TEST_CASE("attributes: filter_env is true, false, a word or words")
{
    CHECK_FALSE(good({{"filter_env", true}}).inherit_env);
    CHECK(good({{"filter_env", false}}).inherit_env);
    CHECK(good({{"filter_env", "AWS"}}).filter_env == std::vector<std::string>{"AWS"});
    CHECK(good({{"filter_env", {"", "AWS"}}}).filter_env == std::vector<std::string>{"AWS"});
    CHECK(to_json(good({{"filter_env", true}}))["filter_env"] == true);
}

TEST_CASE("attributes: listen takes one address or many, in each form")
{
    const auto texts = [](const json& value) {
        std::vector<std::string> out;
        for (const ListenAddress& address : good({{"listen", value}}).listen)
            out.push_back(address.text);
        return out;
    };
    CHECK(texts(3001) == std::vector<std::string>{"3001"});
    CHECK(texts(":3001") == std::vector<std::string>{"3001"});
    CHECK(texts({0, 0}) == std::vector<std::string>{"0", "0"});
    CHECK(texts({"3001", {{"address", 3002}}}) == std::vector<std::string>{"3001", "3002"});
    CHECK(good({{"listen", "[::1]:80"}}).listen[0].name == "[1]80");
    CHECK(good({{"listen", {{"address", "80"}, {"name", "http"}}}}).listen[0].name == "http");
}

TEST_CASE("attributes: env holds text, whatever it was given")
{
    const AppSpec spec = good({{"env",
                                {{"TEXT", "x"},
                                 {"NUMBER", 80},
                                 {"WHOLE", 3.0},
                                 {"FRACTION", 1.5},
                                 {"YES", true},
                                 {"OBJECT", {{"a", 1}}},
                                 {"ARRAY", {1, "b"}},
                                 {"NOTHING", nullptr}}}});
    const Environment want{{"TEXT", "x"},         {"NUMBER", "80"}, {"WHOLE", "3"},
                           {"FRACTION", "1.5"},   {"YES", "true"},  {"OBJECT", "{\"a\":1}"},
                           {"ARRAY", "[1,\"b\"]"}};
    CHECK(spec.env == want);
}

TEST_CASE("attributes: env is below port, and port below the chosen env_<name>")
{
    const json app{{"env", {{"PORT", 1}, {"A", "a"}, {"B", "b"}}},
                   {"port", 2},
                   {"env_prod", {{"A", "prod"}, {"B", nullptr}}},
                   {"env_test", {{"PORT", 3}}}};
    CHECK(good(app).env == Environment{{"PORT", "2"}, {"A", "a"}, {"B", "b"}});
    CHECK(good(app, "prod").env == Environment{{"PORT", "2"}, {"A", "prod"}});
    CHECK(good(app, "test").env == Environment{{"PORT", "3"}, {"A", "a"}, {"B", "b"}});
}

TEST_CASE("attributes: the name comes from the script and takes prefix and environment")
{
    const struct {
        json app;
        const char* env_name;
        const char* want;
    } rows[] = {
        {{{"script", "/srv/api/server.prod.js"}}, "", "server.prod"},
        {{{"script", ".hidden"}}, "", ".hidden"},
        {{{"script", "python"}}, "", "python"},
        {{{"script", "node /srv/a.js --port 80"}}, "", "node"},
        {{{"script", "bin/tool.sh --x"}}, "", "tool"},
        {{{"name", "api"}, {"name_prefix", "shop"}}, "", "shop:api"},
        {{{"name", "shop:api"}, {"name_prefix", "shop"}}, "", "shop:api"},
        {{{"name", "api"}, {"append_env_to_name", true}}, "", "api"},
        {{{"name", "api"}, {"append_env_to_name", true}}, "prod", "api-prod"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.app.dump());
        CHECK(good(row.app, row.env_name).name == row.want);
    }
}

TEST_CASE("attributes: disable_logs sends both streams to /dev/null")
{
    const AppSpec spec = good({{"disable_logs", true}, {"out_file", "x.log"}});
    CHECK(spec.out_file == "/dev/null");
    CHECK(spec.error_file == "/dev/null");
    CHECK(!good({{"disable_logs", true}, {"log_file", true}}).log_file);
}

TEST_CASE("attributes: a combined log is a path, or true for the default one")
{
    CHECK(good({{"log", "both.log"}}).log_file == "both.log");
    CHECK(good({{"log_file", true}}).log_file == "");
    for (const json& none : {json(false), json("NULL"), json("/dev/null")})
        CHECK(!good({{"log_file", none}}).log_file);
}

TEST_CASE("attributes: time stands for PM2's date format, and wins")
{
    CHECK(good({{"time", true}, {"log_date_format", "HH"}}).log_date_format ==
          "YYYY-MM-DDTHH:mm:ss");
    CHECK(good({{"log_date_format", "HH"}}).log_date_format == "HH");
    CHECK(good({{"log_date_format", false}}).log_date_format.empty());
    CHECK(complaint("log_date_format", "a\nb").contains("of at most 200 bytes in one line"));
    CHECK(complaint("log_type", "xml").contains("must be \"raw\" or \"json\""));
    CHECK(complaint("log_on_full", "stop").contains("must be \"drop\", \"block\" or \"spill\""));
}

TEST_CASE("attributes: a refused value is named with what is allowed and what was found")
{
    const std::string api = "f.json: app \"api\": ";
    const struct {
        const char* attribute;
        json value;
        const char* want;
    } rows[] = {
        {"instances", "many",
         "instances must be a whole number, \"max\", 0 or negative, got \"many\""},
        {"instances", 10001, "instances must be a whole number, \"max\", 0 or negative, got 10001"},
        {"instances", 1.5, "instances must be a whole number, \"max\", 0 or negative, got 1.5"},
        {"autorestart", "yes", "autorestart must be true or false, got \"yes\""},
        {"autoRestart", 1, "unknown attribute \"autoRestart\": did you mean \"autorestart\"?"},
        {"max_restarts", -1, "max_restarts must be a whole number from 0 to 1000000, got -1"},
        {"maxRestarts", "x", "maxRestarts must be a whole number from 0 to 1000000, got \"x\""},
        {"args", 5,
         "args must be an array of strings, or one string that is split on blanks, got 5"},
        {"args", {"a", nullptr}, "args[1] must be a string, got null"},
        {"args", "'x", "args must be a string whose quotes are closed, got \"'x\""},
        {"cwd", "", "cwd must be a string that is not empty, got \"\""},
        {"cwd", std::string("a\0b", 3),
         "cwd must be UTF-8 text without NUL bytes, got \"a\\u0000b\""},
        {"cwd", "\xFF", "cwd must be UTF-8 text without NUL bytes, got \"\xEF\xBF\xBD\""},
        {"args",
         {"a", "\xC3"},
         "args[1] must be UTF-8 text without NUL bytes, got \"\xEF\xBF\xBD\""},
        {"listen", "unix:/\xFF",
         "listen must be UTF-8 text without NUL bytes, got \"unix:/\xEF\xBF\xBD\""},
        {"env", "A=1", "env must be an object of variables, got \"A=1\""},
        {"env",
         {{"A=", 1}},
         "env key must be a variable name in UTF-8 without \"=\" and NUL, got \"A=\""},
        {"env_x", json::array(), "env_x must be an object of variables, got an empty array"},
        {"exec_mode", "thread", "exec_mode must be \"fork\" or \"cluster\", got \"thread\""},
        {"stop_exit_codes",
         {1, 256},
         "stop_exit_codes[1] must be a whole number from 0 to 255, got 256"},
        {"port", 65536, "port must be a whole number from 0 to 65535, got 65536"},
        {"uid", -1,
         "uid must be a name that is not empty, or a number that is not negative, got -1"},
        {"umask", "999",
         "umask must be an octal string from \"0\" to \"0777\", or the same as a number from 0 to "
         "511, got \"999\""},
        {"filter_env", 5, "filter_env must be true, false, a string or an array of strings, got 5"},
        {"instance_var", "A=B",
         "instance_var must be a variable name in UTF-8 without \"=\" and NUL, got \"A=B\""},
        {"listen", json::object(), "listen must be an object with \"address\", got an object"},
        {"listen",
         {{{"address", 1}, {"port", 2}}},
         "listen[0] must be an object of address, name, backlog, mode, owner, reuse_port, "
         "ipv6_only, nodelay, got \"port\""},
        {"listen",
         {{{"address", 1}, {"backlog", 0}}},
         "listen[0].backlog must be a whole number from 1 to 65535, got 0"},
        {"listen",
         {{{"address", 1}, {"mode", "0660"}}},
         "listen[0].mode must be absent for an address that is no unix socket, got \"0660\""},
        {"listen",
         {{{"address", 1}, {"name", "a:b"}}},
         "listen[0].name must be printable ASCII text without \":\", got \"a:b\""},
        {"listen", {1, "1"}, "listen[1] must be different from the other addresses, got \"1\""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.attribute);
        const std::string got = complaint(row.attribute, row.value);
        const bool warns = got.starts_with("f.json: warning: ");
        CHECK(got == (warns ? "f.json: warning: app \"api\": " : api) + row.want);
    }
}

TEST_CASE("attributes: names are fit for files and lines")
{
    for (const json& name : {json(""), json("a/b"), json("a\nb"), json(std::string("a\0b", 3)),
                             json(std::string(201, 'x')), json::array(), json(true)}) {
        CAPTURE(name.dump());
        const Parsed parsed = parse({{"script", "a.js"}, {"name", name}});
        CHECK_FALSE(parsed.spec.has_value());
        REQUIRE(parsed.messages.size() == 1);
        CHECK(parsed.messages[0].contains("name must be a string of 1 to 200 bytes"));
    }
    CHECK(good({{"name", std::string(200, 'x')}}).name.size() == 200);
    CHECK(good({{"name", "größe 1"}}).name == "größe 1");
    // A derived name obeys the same rule.
    CHECK_FALSE(parse({{"script", std::string(250, 'x')}}).spec.has_value());
}

TEST_CASE("attributes: all that is wrong with an app is told at once")
{
    const Parsed parsed = parse({{"instances", "x"}, {"treekill", 1}, {"kill_timeout", "x"}});
    CHECK_FALSE(parsed.spec.has_value());
    REQUIRE(parsed.messages.size() == 4);
    for (const std::string& message : parsed.messages)
        CHECK(message.starts_with("f.json: app 2: "));
    CHECK(parsed.messages[3] == "f.json: app 2: script is missing");
}

TEST_CASE("attributes: an app that is no object is told so")
{
    CHECK(parse("x").messages ==
          std::vector<std::string>{"f.json: app 2: must be an object, got \"x\""});
    CHECK(parse(json::array()).messages[0] ==
          "f.json: app 2: must be an object, got an empty array");
}

TEST_CASE("attributes: of two spellings the canonical one wins, with a warning")
{
    const Parsed parsed = parse({{"exec", "b.js"}, {"script", "a.js"}, {"command", "c.js"}});
    REQUIRE(parsed.spec.has_value());
    CHECK(parsed.spec->script == "a.js");
    CHECK(parsed.messages.size() == 2);
    for (const std::string& message : parsed.messages)
        CHECK(message.contains("which is the same attribute"));
}

TEST_CASE("attributes: an unknown attribute warns and changes nothing")
{
    const Parsed parsed = parse({{"script", "a.js"}, {"colour", "red"}, {"instnaces", 2}});
    REQUIRE(parsed.spec.has_value());
    CHECK(*parsed.spec == good({{"script", "a.js"}}));
    CHECK(parsed.messages ==
          std::vector<std::string>{
              "f.json: warning: app \"a\": unknown attribute \"colour\" is ignored",
              "f.json: warning: app \"a\": unknown attribute \"instnaces\": did you mean "
              "\"instances\"?"});
}

TEST_CASE("attributes: PM2's attributes without effect warn only when they would matter")
{
    const struct {
        const char* attribute;
        json value;
        bool warns;
    } rows[] = {
        {"watch", true, true},
        {"watch", {"src"}, true},
        {"watch", false, false},
        {"watch", nullptr, false},
        {"cron_restart", "0 0 * * *", false},
        {"force", true, true},
        {"ignore_watch", json::array(), false},
        {"kill_retry_time", 100, false},
        {"pmx", false, false},
        {"vizion", false, false},
        {"automation", false, false},
        {"windowsHide", false, false},
        {"source_map_support", false, false},
        {"username", "u", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.attribute);
        const Parsed parsed =
            parse({{"name", "api"}, {"script", "a.js"}, {row.attribute, row.value}});
        REQUIRE(parsed.spec.has_value());
        const bool noted = parsed.spec->unsupported == std::vector<std::string>{row.attribute};
        CHECK(noted == row.warns);
        const std::vector<std::string> warning{
            "f.json: warning: app \"api\": " + std::string{row.attribute} +
            " is accepted for PM2's files and has no effect yet"};
        CHECK(parsed.messages == (row.warns ? warning : std::vector<std::string>{}));
    }
}

TEST_CASE("attributes: a message is one line and harmless, whatever the value holds")
{
    const std::string got = complaint("instances", "a\nb\x1b[31m" + std::string(300, 'x') + "é");
    CHECK(got.contains("got \"a\\nb\\u001b[31mx"));
    CHECK(got.ends_with("x\"…"));
    CHECK(got.size() < 250);
    for (const char c : got)
        CHECK(static_cast<unsigned char>(c) >= ' ');
    CHECK(Diagnostic{.file = "a\nb", .message = "c\td"}.text() == "a b: c d");
}

TEST_CASE("attributes: deep nesting in env is refused, not followed")
{
    json deep = 1;
    for (int i = 0; i < 10'000; ++i)
        deep = json::array({std::move(deep)});
    CHECK(complaint("env", {{"A", std::move(deep)}}) ==
          "f.json: app \"api\": env.A must be less deeply nested, got an array");
}
