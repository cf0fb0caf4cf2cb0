#include "supervisor/daemon/settings.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

const char* no_variables(const char*)
{
    return nullptr;
}

ReadSettings read(std::string_view text)
{
    return read_settings(text, "settings.json", no_variables);
}

} // namespace

TEST_CASE("settings: no file is all defaults")
{
    const auto all = read("");
    CHECK(all.faults.empty());
    CHECK(all.settings == Settings{});
    CHECK_FALSE(all.settings.logs_max_total);
}

TEST_CASE("settings: a port alone is on loopback")
{
    const auto listen = [](const char* address) {
        return read(std::string{R"({"metrics": {"listen": ")"} + address + "\"}}")
            .settings.metrics.listen;
    };
    CHECK(listen("9209") == "127.0.0.1:9209");
    CHECK(listen(":9209") == "127.0.0.1:9209");
    CHECK(listen("0.0.0.0:9209") == "0.0.0.0:9209");
    CHECK(listen("[::1]:9209") == "[::1]:9209");
    CHECK(read(R"({"metrics": {"listen": 9209}})").settings.metrics.listen == "127.0.0.1:9209");
}

TEST_CASE("settings: what is wrong is told, has its default and keeps the rest")
{
    const struct {
        const char* text;
        const char* fault;
    } rows[] = {
        {"{", "is no JSON object"},
        {"[]", "is no JSON object"},
        {R"({"metrics": {"listen": "unix:/x"}})", "metrics.listen must be a port"},
        {R"({"metrics": {"listen": "example.org:80"}})", "metrics.listen must be a port"},
        {R"({"metrics": {"lsten": 1}})", "there is no setting metrics.lsten; known are metrics."},
        {R"({"metrics": []})", "there is no setting metrics;"},
        {R"({"metrics": {"tls_cert": "/a"}})", "belong together"},
        {R"({"logs": {"max_total": "ten"}})", "logs.max_total must be bytes"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto all = read(row.text);
        REQUIRE(all.faults.size() == 1);
        CHECK(all.faults.front().find(row.fault) != std::string::npos);
        CHECK(all.settings.metrics.listen.empty());
    }
    const auto mixed =
        read(R"({"metrics": {"listen": 1, "token": "a b"}, "logs": {"max_total": 5}})");
    CHECK(mixed.faults.size() == 1);
    CHECK(mixed.faults.front().find("a b") == std::string::npos); // a token stands in no log
    CHECK(mixed.settings.logs_max_total == 5);
}

TEST_CASE("settings: the environment wins, an empty variable does not")
{
    const auto variables = [](const char* name) -> const char* {
        if (std::strcmp(name, "CLUSTER_METRICS_LISTEN") == 0) return "1";
        return std::strcmp(name, "CLUSTER_METRICS_TOKEN") == 0 ? "" : nullptr;
    };
    const auto all = read_settings(R"({"metrics": {"listen": "2", "token": "t"}})", "x", variables);
    CHECK(all.settings.metrics.listen == "127.0.0.1:1");
    CHECK(all.settings.metrics.token == "t");
}

TEST_CASE("settings: the file is changed member by member, and told when it holds")
{
    ipc::LinuxSystem system;
    const tests::Folder folder;
    const std::string path = folder.path + "/settings.json";
    SettingsFile file{system, path, no_variables};
    int told = 0;
    file.on_change([&](const Settings&) { ++told; });
    CHECK(file.set("metrics.listen", "9209"));
    CHECK(file.set("logs.max_total", "1G"));
    CHECK(file.now().metrics.listen == "127.0.0.1:9209");
    CHECK(file.now().logs_max_total == 1ULL << 30U);
    CHECK(told == 2);
    CHECK(file.set("logs.max_total", "1024M")); // the same in other words
    CHECK(told == 2);
    CHECK(file.unset("metrics.listen").value());
    CHECK(!file.unset("metrics.listen").value());
    CHECK(system.read_file(path).value() ==
          "{\n    \"logs\": {\n        \"max_total\": \"1024M\"\n    }\n}\n");
    CHECK(!file.set("metrics.listen", "nowhere"));
    CHECK(!file.set("nothing", "1"));
    CHECK(file.unset("all").value());
    CHECK(file.now() == Settings{});
}
