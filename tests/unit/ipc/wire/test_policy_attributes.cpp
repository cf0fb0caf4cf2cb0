// The attributes that say whether an app serves, how it leaves and what it waits for.
#include "ipc/wire/attributes.hpp"
#include "tests/unit/ipc/wire/schema_validator.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace cluster::ipc;
using nlohmann::json;
using namespace std::chrono_literals;

namespace {

/// An app in which each of the attributes may stand.
json app_with(const std::string& attribute, const json& value)
{
    json app{{"name", "api"}, {"script", "a.js"}};
    if (attribute != "listen") app["listen"] = json::array({"3001"});
    app[attribute] = value;
    return app;
}

struct Parsed {
    std::optional<AppSpec> spec;
    std::string messages;
};

Parsed parse(const json& app)
{
    Diagnostics diagnostics;
    Parsed parsed{parse_app(app, {.file = "f.json"}, diagnostics), {}};
    for (const Diagnostic& diagnostic : diagnostics)
        parsed.messages += diagnostic.text() + "\n";
    return parsed;
}

AppSpec good(const std::string& attribute, const json& value)
{
    const Parsed parsed = parse(app_with(attribute, value));
    CAPTURE(value.dump());
    CHECK(parsed.messages == "");
    REQUIRE(parsed.spec.has_value());
    return *parsed.spec;
}

Probe http(const std::string& path)
{
    Probe probe = ready_defaults();
    probe.path = path;
    return probe;
}

Probe of_kind(Probe::Kind kind)
{
    Probe probe = ready_defaults();
    probe.kind = kind;
    return probe;
}

} // namespace

TEST_CASE(
    "policies: good values are written back so that they read the same, and the schema agrees")
{
    const json null;
    // `written` is what to_json makes of it; null: the default, which is not written.
    const struct {
        std::string attribute;
        json value;
        json written;
    } rows[] = {
        {"wait_ready", true, true},
        {"wait_ready", false, null},
        {"listen_timeout", 8000, 8000},
        {"listen_timeout", "8s", 8000},
        {"listen_timeout", 3000, 3000}, // absent means 30 s for a probe, so it is written
        {"listen_timeout", 1, 1},
        {"shutdown_with_message", true, true},
        {"drain_timeout", "30s", 30000},
        {"drain_timeout", 0, 0},
        {"drain_timeout", 10'000, null},
        {"watchdog", "30s", 30000},
        {"watchdog", 0, null},
        {"balance", "reuseport", "reuseport"},
        {"balance", "shared", null},

        {"ready", "/health", {{"http", "/health"}}},
        {"ready", {{"http", "/health"}}, {{"http", "/health"}}},
        {"ready", {{"http", true}}, {{"http", "/"}}},
        {"ready", {{"http", true}, {"path", "/h"}}, {{"http", "/h"}}},
        {"ready", {{"http", "/h"}, {"path", nullptr}}, {{"http", "/h"}}},
        {"ready", {{"http", "/h"}, {"tcp", nullptr}}, {{"http", "/h"}}},
        {"ready",
         {{"http", "/h?a=b&c"}, {"port", 80}, {"status", 204}},
         {{"http", "/h?a=b&c"}, {"port", 80}, {"status", {204}}}},
        {"ready",
         {{"http", "/h"}, {"port", "80"}, {"status", {200, "404"}}},
         {{"http", "/h"}, {"port", 80}, {"status", {200, 404}}}},
        {"ready", {{"tcp", true}}, {{"tcp", true}}},
        {"ready", {{"tcp", true}, {"port", 3002}}, {{"tcp", true}, {"port", 3002}}},
        {"ready", {{"tcp", 3002}}, {{"tcp", true}, {"port", 3002}}},
        {"ready", {{"tcp", "3002"}}, {{"tcp", true}, {"port", 3002}}},
        {"ready", {{"exec", "test -e up"}}, {{"exec", {"/bin/sh", "-c", "test -e up"}}}},
        {"ready", {{"exec", {"curl", "", "-f"}}}, {{"exec", {"curl", "", "-f"}}}},
        {"ready", {{"log", "^listening on [0-9]+$"}}, {{"log", "^listening on [0-9]+$"}}},
        {"ready",
         {{"tcp", true}, {"interval", "1s"}, {"timeout", 10}},
         {{"tcp", true}, {"interval", 1000}, {"timeout", 10}}},
        {"ready", {{"tcp", true}, {"interval", 100}, {"timeout", "1s"}}, {{"tcp", true}}},
        {"health", "/health", {{"http", "/health"}}},
        {"health",
         {{"http", "/h"}, {"interval", "10s"}, {"failures", 3}, {"start_period", 10000}},
         {{"http", "/h"}}},
        {"health",
         {{"exec", {"true"}}, {"failures", "1"}, {"start_period", 0}, {"timeout", 500}},
         {{"exec", {"true"}}, {"failures", 1}, {"start_period", 0}, {"timeout", 500}}},

        {"reload", json::object(), null},
        {"reload", {{"max_surge", 2}}, {{"max_surge", 2}}},
        {"reload", {{"max_surge", "2"}}, {{"max_surge", 2}}},
        {"reload", {{"max_surge", "25%"}}, {{"max_surge", "25%"}}},
        {"reload", {{"max_surge", "100%"}}, {{"max_surge", "100%"}}},
        {"reload", {{"max_surge", nullptr}}, null},
        {"reload",
         {{"max_surge", 0}, {"max_unavailable", 1}},
         {{"max_surge", 0}, {"max_unavailable", 1}}},
        {"reload", {{"max_unavailable", "50%"}}, {{"max_unavailable", "50%"}}},
        {"reload", {{"soak", "5s"}}, {{"soak", 5000}}},
        {"reload", {{"soak", 0}}, {{"soak", 0}}},

        {"rotate", true, null},
        {"rotate", json::object(), null},
        {"rotate", {{"size", "100M"}, {"keep", 10}, {"compress", "zstd"}}, null},
        {"rotate", {{"compress", true}, {"every", nullptr}}, null},
        {"rotate", false, false},
        {"rotate",
         {{"size", "64K"}, {"every", "daily"}, {"keep", "3"}, {"compress", "gzip"}},
         {{"size", 65536}, {"every", "daily"}, {"keep", 3}, {"compress", "gzip"}}},
        {"rotate",
         {{"size", 0}, {"every", "6h"}, {"keep", 0}, {"compress", false}},
         {{"size", 0}, {"every", 21'600'000}, {"keep", 0}, {"compress", false}}},
        {"rotate", {{"every", "hourly"}}, {{"every", "hourly"}}},
        {"rotate", {{"every", "weekly"}}, {{"every", "weekly"}}},

        {"depends_on", "db", {{"db", "ready"}}},
        {"depends_on", {"db", "cache"}, {{"cache", "ready"}, {"db", "ready"}}},
        {"depends_on", json::array(), null},
        {"depends_on", json::object(), null},
        {"depends_on",
         {{"db", "started"}, {"x", "ready"}, {"migrate", "completed"}},
         {{"db", "started"}, {"x", "ready"}, {"migrate", "completed"}}},
        {"depends_on", {{"db", nullptr}}, null},
        {"depends_on", 42, {{"42", "ready"}}}, // a name may be a number

        {"listen",
         {{{"address", "unix:/x"}, {"owner", "www-data:33"}}},
         {{{"address", "unix:/x"}, {"name", "unix/x"}, {"owner", "www-data:33"}}}},
        {"listen",
         {{{"address", "unix:/x"}, {"owner", 33}}},
         {{{"address", "unix:/x"}, {"name", "unix/x"}, {"owner", "33"}}}},
        {"listen",
         {{{"address", 80}, {"reuse_port", true}, {"nodelay", true}, {"backlog", "16"}}},
         {{{"address", "80"},
           {"name", "80"},
           {"reuse_port", true},
           {"nodelay", true},
           {"backlog", 16}}}},
        {"listen",
         {{{"address", "[::]:80"}, {"ipv6_only", false}}},
         {{{"address", "[::]:80"}, {"name", "[]80"}, {"ipv6_only", false}}}},
        {"listen",
         {{{"address", "80"}, {"ipv6_only", true}}},
         {{{"address", "80"}, {"name", "80"}, {"ipv6_only", true}}}},
        {"listen", {{{"address", "80"}, {"nodelay", false}, {"mode", nullptr}}}, {"80"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.attribute);
        CAPTURE(row.value.dump());
        const AppSpec spec = good(row.attribute, row.value);
        const json written = to_json(spec);
        CHECK(written.value(row.attribute, json{}) == row.written);
        CHECK(parse(written).spec == spec);
        CHECK(test::schema_accepts(app_with(row.attribute, row.value)));
        CHECK(test::schema_accepts(written));
    }
}

TEST_CASE("policies: a refused value is named with what is allowed, and the schema refuses it too")
{
    const std::string probe =
        "a path such as \"/health\", or an object with one of http, tcp, exec, "
        "log";
    const std::string members = "an object of http, tcp, exec, log, path, port, status, interval, "
                                "timeout";
    const std::string duration = "milliseconds, or a string such as \"500ms\", \"5s\", \"2m\" or "
                                 "\"1h\" (at most 24 days)";
    const std::string share = "a number of workers, or a percentage such as \"25%\"";
    enum { told, beyond }; // what a schema can tell, and what it cannot
    const struct {
        std::string attribute;
        json value;
        std::string want;
        int by_schema = told;
    } rows[] = {
        {"wait_ready", "yes", "wait_ready must be true or false, got \"yes\""},
        {"listen_timeout", 0, "listen_timeout must be " + duration + ", got 0"},
        {"listen_timeout", "soon", "listen_timeout must be " + duration + ", got \"soon\""},
        {"drain_timeout", -1, "drain_timeout must be " + duration + ", got -1"},
        {"watchdog", 2147483648, "watchdog must be " + duration + ", got 2147483648"},
        {"shutdown_with_message", 1, "shutdown_with_message must be true or false, got 1"},
        {"balance", "random", "balance must be \"shared\" or \"reuseport\", got \"random\""},

        {"rotate", "daily",
         "rotate must be true, false, or an object of size, every, keep, compress, got \"daily\""},
        {"rotate",
         {{"size", "big"}},
         "rotate.size must be a number of bytes, or a string such as \"100M\", got \"big\""},
        {"rotate",
         {{"size", -1}},
         "rotate.size must be a number of bytes, or a string such as \"100M\", got -1"},
        {"rotate",
         {{"every", "monthly"}},
         "rotate.every must be \"hourly\", \"daily\", \"weekly\", or a duration of at least 1 s "
         "such as \"6h\", got \"monthly\""},
        {"rotate",
         {{"every", 999}},
         "rotate.every must be \"hourly\", \"daily\", \"weekly\", or a duration of at least 1 s "
         "such as \"6h\", got 999"},
        {"rotate", {{"keep", -1}}, "rotate.keep must be a whole number from 0 to 100000, got -1"},
        {"rotate",
         {{"compress", "xz"}},
         "rotate.compress must be \"zstd\", \"gzip\" or false, got \"xz\""},
        {"rotate",
         {{"max_age", "1d"}},
         "rotate must be an object of size, every, keep, compress, got \"max_age\""},

        {"ready", 5, "ready must be " + probe + ", got 5"},
        {"ready", true, "ready must be " + probe + ", got true"},
        {"ready", json::array(), "ready must be " + probe + ", got an empty array"},
        {"ready", "health", "ready must be a path such as \"/health\", got \"health\""},
        {"ready", "/a b", "ready must be a path such as \"/health\", got \"/a b\""},
        {"ready", "", "ready must be a path such as \"/health\", got \"\""},
        {"ready", json::object(),
         "ready must be an object with exactly one of http, tcp, exec, log, got an object"},
        {"ready",
         {{"tcp", nullptr}},
         "ready must be an object with exactly one of http, tcp, exec, log, got an object"},
        {"ready",
         {{"http", "/x"}, {"tcp", true}},
         "ready must be an object with exactly one of http, tcp, exec, log, got an object"},
        {"ready", {{"http", "/x"}, {"prot", 1}}, "ready must be " + members + ", got \"prot\""},
        {"ready",
         {{"http", "/x"}, {"failures", 2}},
         "ready must be " + members + ", got \"failures\""},
        {"ready", {{"http", "x"}}, "ready.http must be a path such as \"/health\", got \"x\""},
        {"ready", {{"http", false}}, "ready.http must be a path such as \"/health\", got false"},
        {"ready",
         {{"http", "/x"}, {"path", "/y"}},
         "ready.path must be absent where http is a path already, got \"/y\""},
        {"ready",
         {{"http", true}, {"path", 1}},
         "ready.path must be a path such as \"/health\", got 1"},
        {"ready",
         {{"http", "/x"}, {"status", json::array()}},
         "ready.status must be a status code from 100 to 599, or an array of them, got an empty "
         "array"},
        {"ready",
         {{"http", "/x"}, {"status", {200, 600}}},
         "ready.status must be a status code from 100 to 599, or an array of them, got 600"},
        {"ready",
         {{"http", "/x"}, {"port", 0}},
         "ready.port must be a port from 1 to 65535, got 0"},
        {"ready",
         {{"http", "/x"}, {"port", 65536}},
         "ready.port must be a port from 1 to 65535, got 65536"},
        {"ready",
         {{"tcp", false}},
         "ready.tcp must be true for the worker's own port, or a port from 1 to 65535, got false"},
        {"ready",
         {{"tcp", 0}},
         "ready.tcp must be true for the worker's own port, or a port from 1 to 65535, got 0"},
        {"ready",
         {{"tcp", 80}, {"port", 81}},
         "ready.port must be absent where tcp is a port already, got 81"},
        {"ready",
         {{"tcp", true}, {"path", "/x"}},
         "ready.path must be absent for a probe of kind tcp, got \"/x\""},
        {"ready",
         {{"tcp", true}, {"status", 200}},
         "ready.status must be absent for a probe of kind tcp, got 200"},
        {"ready",
         {{"exec", "true"}, {"port", 80}},
         "ready.port must be absent for a probe of kind exec, got 80"},
        {"ready",
         {{"log", "up"}, {"port", 80}},
         "ready.port must be absent for a probe of kind log, got 80"},
        {"ready",
         {{"exec", ""}},
         "ready.exec must be a command line, or an array of program and arguments, got \"\""},
        {"ready",
         {{"exec", json::array()}},
         "ready.exec must be a command line, or an array of program and arguments, got an empty "
         "array"},
        {"ready",
         {{"exec", {"a", 1}}},
         "ready.exec must be a command line, or an array of program and arguments, got an array"},
        {"ready",
         {{"exec", {"", "a"}}},
         "ready.exec must be a command line, or an array of program and arguments, got an array",
         beyond},
        {"ready",
         {{"exec", std::string("a\0b", 3)}},
         "ready.exec must be a command line, or an array of program and arguments, got "
         "\"a\\u0000b\"",
         beyond},
        {"ready",
         {{"log", ""}},
         "ready.log must be a regular expression of 1 to 500 bytes for a line of output, got \"\""},
        {"ready",
         {{"log", std::string(501, '(')}},
         "ready.log must be a regular expression of 1 to 500 bytes for a line of output, got \"" +
             std::string(80, '(') + "\"…"},
        {"ready",
         {{"log", "\xFF"}},
         "ready.log must be a regular expression of 1 to 500 bytes for a line of output, got "
         "\"\xEF\xBF\xBD\"",
         beyond},
        {"ready",
         {{"log", "(up"}},
         "ready.log must be a regular expression as JavaScript has them, got \"(up\"",
         beyond},
        {"ready",
         {{"log", std::string(500, '(')}},
         "ready.log must be a regular expression as JavaScript has them, got \"" +
             std::string(80, '(') + "\"…",
         beyond},
        {"ready",
         {{"tcp", true}, {"interval", 9}},
         "ready.interval must be a duration of at least 10 ms, such as 500 or \"5s\", got 9"},
        {"ready",
         {{"tcp", true}, {"timeout", "x"}},
         "ready.timeout must be a duration of at least 10 ms, such as 500 or \"5s\", got \"x\""},
        {"health",
         {{"tcp", true}, {"failures", 0}},
         "health.failures must be a whole number from 1 to 1000, got 0"},
        {"health",
         {{"tcp", true}, {"start_period", -1}},
         "health.start_period must be a duration of at least 0 ms, such as 500 or \"5s\", got -1"},
        {"health",
         {{"tcp", true}, {"soak", 1}},
         "health must be " + members + ", failures, start_period, got \"soak\""},

        {"reload", "fast",
         "reload must be an object of max_surge, max_unavailable, soak, got \"fast\""},
        {"reload",
         {{"surge", 1}},
         "reload must be an object of max_surge, max_unavailable, soak, got \"surge\""},
        {"reload", {{"max_surge", -1}}, "reload.max_surge must be " + share + ", got -1"},
        {"reload", {{"max_surge", 1.5}}, "reload.max_surge must be " + share + ", got 1.5"},
        {"reload", {{"max_surge", 10001}}, "reload.max_surge must be " + share + ", got 10001"},
        {"reload", {{"max_surge", "101%"}}, "reload.max_surge must be " + share + ", got \"101%\""},
        {"reload", {{"max_surge", "-1%"}}, "reload.max_surge must be " + share + ", got \"-1%\""},
        {"reload", {{"max_surge", "%"}}, "reload.max_surge must be " + share + ", got \"%\""},
        {"reload",
         {{"max_unavailable", json::array({1})}},
         "reload.max_unavailable must be " + share + ", got an array"},
        {"reload",
         {{"max_surge", "0%"}},
         "reload.max_surge must be at least 1 where max_unavailable is 0, since nothing could be "
         "replaced, got \"0%\"",
         beyond},
        {"reload",
         {{"soak", -5}},
         "reload.soak must be a duration of at least 0 ms, such as 500 or \"5s\", got -5"},

        {"depends_on", true,
         "depends_on must be an app's name, an array of names, or an object of names with "
         "\"started\", \"ready\" or \"completed\", got true"},
        {"depends_on", "",
         "depends_on must be an app's name, an array of names, or an object of names with "
         "\"started\", \"ready\" or \"completed\", got \"\""},
        {"depends_on", {"db", ""}, "depends_on[1] must be an app's name, got \"\""},
        {"depends_on", {"db", {{"x", 1}}}, "depends_on[1] must be an app's name, got an object"},
        {"depends_on", {"a/b"}, "depends_on[0] must be an app's name, got \"a/b\""},
        {"depends_on", {{"", "ready"}}, "depends_on key must be an app's name, got \"\""},
        {"depends_on",
         {{"db", "up"}},
         "depends_on.db must be \"started\", \"ready\" or \"completed\", got \"up\""},
        {"depends_on",
         {{"db", {{"condition", "ready"}}}},
         "depends_on.db must be \"started\", \"ready\" or \"completed\", got an object"},

        {"listen",
         {{{"address", 80}, {"owner", "u"}}},
         "listen[0].owner must be absent for an address that is no unix socket, got \"u\""},
        {"listen",
         {{{"address", 80}, {"mode", "0660"}}},
         "listen[0].mode must be absent for an address that is no unix socket, got \"0660\""},
        {"listen",
         {{{"address", "unix:/x"}, {"owner", ":g"}}},
         "listen[0].owner must be \"USER\" or \"USER:GROUP\", got \":g\""},
        {"listen",
         {{{"address", "unix:/x"}, {"owner", "a:b:c"}}},
         "listen[0].owner must be \"USER\" or \"USER:GROUP\", got \"a:b:c\""},
        {"listen",
         {{{"address", "unix:/x"}, {"owner", ""}}},
         "listen[0].owner must be \"USER\" or \"USER:GROUP\", got \"\""},
        {"listen",
         {{{"address", "unix:/x"}, {"owner", -1}}},
         "listen[0].owner must be \"USER\" or \"USER:GROUP\", got -1"},
        {"listen",
         {{{"address", "unix:/x"}, {"nodelay", true}}},
         "listen[0].nodelay must be absent for a unix socket, got true"},
        {"listen",
         {{{"address", "unix:/x"}, {"reuse_port", true}}},
         "listen[0].reuse_port must be absent for a unix socket, got true"},
        {"listen",
         {{{"address", "unix:/x"}, {"ipv6_only", false}}},
         "listen[0].ipv6_only must be absent for a unix socket, got false"},
        {"listen",
         {{{"address", "127.0.0.1:80"}, {"ipv6_only", true}}},
         "listen[0].ipv6_only must be absent for an IPv4 address, got true",
         beyond},
        {"listen",
         {{{"address", 80}, {"nodelay", 1}}},
         "listen[0].nodelay must be true or false, got 1"},
        {"listen",
         {{{"address", 80}, {"backlog", 65536}}},
         "listen[0].backlog must be a whole number from 1 to 65535, got 65536"},
        {"listen",
         {{{"address", 80}, {"port", 80}}},
         "listen[0] must be an object of address, name, backlog, mode, owner, reuse_port, "
         "ipv6_only, nodelay, got \"port\""},
    };
    for (const auto& row : rows) {
        CAPTURE(row.attribute);
        CAPTURE(row.value.dump(-1, ' ', false, json::error_handler_t::replace));
        const Parsed parsed = parse(app_with(row.attribute, row.value));
        CHECK_FALSE(parsed.spec.has_value());
        CHECK(parsed.messages == "f.json: app \"api\": " + row.want + "\n");
        CHECK(test::schema_accepts(app_with(row.attribute, row.value)) ==
              (row.by_schema == beyond));
    }
}

TEST_CASE("policies: what each form of a probe means")
{
    const auto ready = [](const json& value) { return *good("ready", value).ready; };
    CHECK(ready("/health") == http("/health"));
    CHECK(ready({{"http", true}}) == http("/"));
    CHECK(http("/").interval == 100ms);
    CHECK(http("/").timeout == 1s);

    Probe tcp = of_kind(Probe::Kind::tcp);
    CHECK(ready({{"tcp", true}}) == tcp);
    tcp.port = 3002;
    CHECK(ready({{"tcp", 3002}}) == tcp);

    Probe exec = of_kind(Probe::Kind::exec);
    exec.command = {"/bin/sh", "-c", "test -e up"};
    CHECK(ready({{"exec", "test -e up"}}) == exec);

    Probe log = of_kind(Probe::Kind::log);
    log.pattern = "up";
    CHECK(ready({{"log", "up"}}) == log);

    const Probe health = *good("health", "/h").health;
    CHECK(health.interval == 10s);
    CHECK(health.timeout == 5s);
    CHECK(health.failures == 3);
    CHECK(health.start_period == 10s);
}

TEST_CASE("policies: readiness is waited for 3 s when the app speaks up, 30 s when it is asked")
{
    CHECK_FALSE(good("name", "api").declares_readiness());
    CHECK(good("wait_ready", true).declares_readiness());
    CHECK(good("wait_ready", true).ready_limit() == 3s);
    CHECK(good("ready", "/health").declares_readiness());
    CHECK(good("ready", "/health").ready_limit() == 30s);
    json both = app_with("ready", "/health");
    both["listen_timeout"] = "5s";
    CHECK(parse(both).spec->ready_limit() == 5s);
}

TEST_CASE("policies: a probe over the network needs a place to ask")
{
    const std::string complaint = " needs a place to ask: give it \"port\", or the app \"listen\" "
                                  "or the variable PORT\n";
    const struct {
        std::string name;
        json app;
        bool good;
    } rows[] = {
        {"nothing tells", {{"ready", "/h"}}, false},
        {"nor for tcp", {{"ready", {{"tcp", true}}}}, false},
        {"one instance of Node binds by itself", {{"ready", "/h"}, {"exec_mode", "fork"}}, false},
        {"fork mode is said", {{"ready", "/h"}, {"exec_mode", "fork"}, {"instances", 2}}, false},
        {"no cluster mode without Node",
         {{"ready", "/h"}, {"interpreter", "/usr/bin/python3"}, {"instances", 2}},
         false},
        {"the probe's own port", {{"ready", {{"http", "/h"}, {"port", 80}}}}, true},
        {"the app's listen", {{"ready", "/h"}, {"listen", 80}}, true},
        {"PORT in env", {{"ready", "/h"}, {"env", {{"PORT", 80}}}}, true},
        {"port", {{"ready", "/h"}, {"port", 80}}, true},
        {"cluster mode", {{"ready", "/h"}, {"exec_mode", "cluster"}}, true},
        {"cluster mode to come", {{"ready", "/h"}, {"instances", 2}}, true},
        {"the same, resolved",
         {{"ready", "/h"}, {"interpreter", "/usr/bin/node"}, {"instances", 2}},
         true},
        {"exec asks nobody", {{"ready", {{"exec", "true"}}}}, true},
        {"log asks nobody", {{"ready", {{"log", "up"}}}}, true},
    };
    for (const auto& row : rows) {
        for (const char* attribute : {"ready", "health"}) {
            CAPTURE(row.name);
            CAPTURE(attribute);
            json app = row.app;
            const json probe = app["ready"];
            app.erase("ready");
            app[attribute] = probe;
            app["script"] = "a.js";
            const Parsed parsed = parse(app);
            CHECK(parsed.spec.has_value() == row.good);
            CHECK(parsed.messages ==
                  (row.good ? "" : "f.json: app \"a\": " + std::string{attribute} + complaint));
        }
    }
}
