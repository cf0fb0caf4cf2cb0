#include "app/redis/options.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

RedisOptions read(Variables variables, std::vector<std::string>* faults = nullptr)
{
    Environment environment{std::move(variables)};
    auto options = read_redis_options(environment);
    if (faults != nullptr)
        *faults = environment.faults();
    else
        CHECK(environment.faults() == std::vector<std::string>{});
    return options;
}

RedisAddress at(std::string host, std::uint16_t port)
{
    return {.host = std::move(host), .port = port, .path = {}};
}

} // namespace

TEST_CASE("Redis addresses")
{
    CHECK(*parse_redis_address("a", 1) == at("a", 1));
    CHECK(*parse_redis_address("10.0.0.1:6380", 1) == at("10.0.0.1", 6380));
    CHECK(*parse_redis_address("[::1]:6380", 1) == at("::1", 6380));
    CHECK(*parse_redis_address("[::1]", 7) == at("::1", 7));
    CHECK(at("::1", 7).text() == "[::1]:7");
    CHECK(RedisAddress{.path = "/a"}.text() == "unix:/a");
    for (const char* bad :
         {"", ":1", "a:", "a:0", "a:65536", "a:x", "a:1x", "::1", "[::1", "[::1]x", "[]:1"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_redis_address(bad, 1).has_value());
    }
}

TEST_CASE("Redis URLs: each row is one")
{
    const struct {
        const char* url;
        RedisUrl want;
    } rows[] = {
        {"redis://localhost", {.address = at("localhost", 6379)}},
        {"redis://localhost:7/3", {.address = at("localhost", 7), .database = 3}},
        {"rediss://h:1/", {.address = at("h", 1), .tls = true}},
        {"redis://:se%2Fcr%40t@h", {.address = at("h", 6379), .password = "se/cr@t"}},
        {"redis://bob:p@ss@h", {.address = at("h", 6379), .user = "bob", .password = "p@ss"}},
        {"redis://bob:p:q@[::1]:9", {.address = at("::1", 9), .user = "bob", .password = "p:q"}},
        {"redis://h?x=y", {.address = at("h", 6379)}},
        {"unix:///run/r.sock", {.address = {.path = "/run/r.sock"}}},
        {"unix:///run/r%20s?db=2", {.address = {.path = "/run/r s"}, .database = 2}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.url);
        const auto got = parse_redis_url(row.url);
        REQUIRE(got.has_value());
        CHECK(*got == row.want);
    }
    for (const char* bad :
         {"", "redis", "http://h", "redis://", "redis://h:x", "redis://h/x", "redis://h/-1",
          "redis://%4:x@h", "redis://a:%zz@h", "unix://run/x", "unix:///x?db=y"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_redis_url(bad).has_value());
    }
}

TEST_CASE("Redis settings: which form")
{
    using Form = RedisOptions::Form;
    CHECK_FALSE(read({}).enabled());
    CHECK_FALSE(read({{"REDIS_URL", ""}, {"REDIS_PASSWORD", "x"}}).enabled());
    const auto single = read({{"REDIS_URL", "redis://redis-primary:6379"},
                              {"REDIS_PASSWORD", "secure-password"},
                              {"REDIS_CLUSTER_MODE", "false"}});
    CHECK(single.form == Form::single);
    CHECK(single.address == at("redis-primary", 6379));
    CHECK(single.password == "secure-password");
    CHECK(single.tls == nullptr);
    CHECK(single.command_timeout == 2s);

    const auto host = read({{"REDIS_HOST", "h"}, {"REDIS_PORT", "7"}, {"REDIS_DB", "3"}});
    CHECK(host.form == Form::single);
    CHECK(host.address == at("h", 7));
    CHECK(host.database == 3);

    const auto sentinel = read({{"REDIS_SENTINEL_MODE", "true"},
                                {"REDIS_SENTINEL_HOSTS", "10.0.2.10:26379, 10.0.2.11"},
                                {"REDIS_SENTINEL_PASSWORD", "p"},
                                {"REDIS_URL", "redis://elsewhere"}});
    CHECK(sentinel.form == Form::sentinel);
    CHECK(sentinel.nodes == std::vector{at("10.0.2.10", 26379), at("10.0.2.11", 26379)});
    CHECK(sentinel.master == "mymaster");
    CHECK(sentinel.sentinel_password == "p");

    const auto many =
        read({{"REDIS_CLUSTER_MODE", "true"}, {"REDIS_CLUSTER_NODES", "10.0.2.10:6379,[::1]"}});
    CHECK(many.form == Form::cluster);
    CHECK(many.nodes == std::vector{at("10.0.2.10", 6379), at("::1", 6379)});
}

TEST_CASE("Redis settings: the password of the URL wins over REDIS_PASSWORD")
{
    const auto options = read({{"REDIS_URL", "redis://u:one@h"}, {"REDIS_PASSWORD", "two"}});
    CHECK(options.user == "u");
    CHECK(options.password == "one");
}

TEST_CASE("Redis settings: rediss and REDIS_TLS encrypt")
{
    CHECK(read({{"REDIS_URL", "rediss://h"}}).tls != nullptr);
    CHECK(read({{"REDIS_URL", "redis://h"}, {"REDIS_TLS", "on"}}).tls != nullptr);
    CHECK(
        read({{"REDIS_CLUSTER_MODE", "1"}, {"REDIS_CLUSTER_NODES", "h"}, {"REDIS_TLS", "1"}}).tls !=
        nullptr);
}

TEST_CASE("Redis settings: faults name the variable and never show a secret")
{
    const struct {
        Variables variables;
        const char* begins;
    } rows[] = {
        {{{"REDIS_URL", "redis://:hush@h:x"}}, "REDIS_URL must be"},
        {{{"REDIS_URL", "hush"}}, "REDIS_URL must be"},
        {{{"REDIS_HOST", "h"}, {"REDIS_PORT", "0"}}, "REDIS_PORT must be"},
        {{{"REDIS_SENTINEL_MODE", "yes"}}, "REDIS_SENTINEL_HOSTS must name at least one"},
        {{{"REDIS_CLUSTER_MODE", "yes"}, {"REDIS_CLUSTER_NODES", "a:b"}},
         "REDIS_CLUSTER_NODES must be host:port"},
        {{{"REDIS_CLUSTER_MODE", "yes"}, {"REDIS_CLUSTER_NODES", "a"}, {"REDIS_DB", "1"}},
         "REDIS_DB must be 0"},
        {{{"REDIS_SENTINEL_MODE", "1"}, {"REDIS_CLUSTER_MODE", "1"}, {"REDIS_SENTINEL_HOSTS", "a"}},
         "REDIS_SENTINEL_MODE and REDIS_CLUSTER_MODE"},
        {{{"REDIS_HOST", "h"}, {"REDIS_USERNAME", "u"}}, "REDIS_USERNAME needs"},
        {{{"REDIS_URL", "rediss://h"}, {"REDIS_TLS_CA", "/nowhere"}}, "REDIS_TLS_CA must name"},
        {{{"REDIS_HOST", "h"}, {"REDIS_COMMAND_TIMEOUT_MS", "soon"}}, "REDIS_COMMAND_TIMEOUT_MS"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.begins);
        std::vector<std::string> faults;
        static_cast<void>(read(row.variables, &faults));
        REQUIRE(faults.size() == 1);
        CHECK(faults[0].starts_with(row.begins));
        CHECK_FALSE(faults[0].contains("hush"));
    }
}
