#include "app/http/options.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

constexpr pid_t kSelf = 42;

HttpOptions options_of(const Variables& variables)
{
    Environment environment{variables};
    const HttpOptions options = read_http_options(environment, kSelf);
    CHECK(environment.faults() == std::vector<std::string>{});
    return options;
}

std::vector<std::string> faults_of(const Variables& variables)
{
    Environment environment{variables};
    static_cast<void>(read_http_options(environment, kSelf));
    return environment.faults();
}

} // namespace

TEST_CASE("LISTEN_FDS: each row is one environment")
{
    const struct {
        const char* name;
        Variables variables;
        std::vector<PassedSocket> want;
    } rows[] = {
        {"nothing", {}, {}},
        {"one", {{"LISTEN_PID", "42"}, {"LISTEN_FDS", "1"}}, {{3, "unknown"}}},
        {"two with names",
         {{"LISTEN_PID", "42"}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "web:admin"}},
         {{3, "web"}, {4, "admin"}}},
        {"a name may be empty",
         {{"LISTEN_PID", "42"}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", ":admin"}},
         {{3, ""}, {4, "admin"}}},
        {"none", {{"LISTEN_PID", "42"}, {"LISTEN_FDS", "0"}, {"LISTEN_FDNAMES", ""}}, {}},
        {"meant for another process", {{"LISTEN_PID", "41"}, {"LISTEN_FDS", "1"}}, {}},
        {"inherited without a pid", {{"LISTEN_FDS", "1"}}, {}},
        {"a pid that is no number", {{"LISTEN_PID", "42x"}, {"LISTEN_FDS", "1"}}, {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(options_of(row.variables).passed == row.want);
    }
}

TEST_CASE("http options: defaults")
{
    const HttpOptions options = options_of({});
    CHECK(options.port == 3001);
    CHECK(options.host == "");
    CHECK(options.notify_socket == "");
    CHECK_FALSE(options.instance.has_value());
    CHECK(options.passed.empty());
    CHECK(options.access_log);
    CHECK_FALSE(options.trusted.any());
    CHECK(options.limits == Limits{});
}

TEST_CASE("http options: what the environment says")
{
    const HttpOptions options = options_of({{"PORT", "0"},
                                            {"HOST", "127.0.0.1"},
                                            {"NODE_APP_INSTANCE", "3"},
                                            {"NOTIFY_SOCKET", "@x"},
                                            {"ACCESS_LOG", "off"},
                                            {"TRUST_PROXY", "1"},
                                            {"DRAIN_TIMEOUT_MS", "6"},
                                            {"DRAIN_DELAY_MS", "5"},
                                            {"HEADER_TIMEOUT_MS", "1"},
                                            {"BODY_TIMEOUT_MS", "2"},
                                            {"KEEP_ALIVE_TIMEOUT_MS", "3"},
                                            {"WRITE_TIMEOUT_MS", "4"},
                                            {"MAX_HEADER_BYTES", "2000"},
                                            {"MAX_BODY_BYTES", "3000"},
                                            {"MAX_CONNECTIONS", "7"}});
    CHECK(options.port == 0);
    CHECK(options.host == "127.0.0.1");
    CHECK(options.instance == 3);
    CHECK(options.notify_socket == "@x");
    CHECK_FALSE(options.access_log);
    CHECK(options.trusted.hops == 1);
    CHECK(options.limits == Limits{1ms, 2ms, 3ms, 4ms, 6ms, 5ms, 2000, 3000, 7});
}

TEST_CASE("http options: an instance that is no number is only not shown")
{
    CHECK_FALSE(options_of({{"NODE_APP_INSTANCE", "blue"}}).instance.has_value());
}

TEST_CASE("http options: a fault names the variable, what is allowed and what was found")
{
    const struct {
        Variables variables;
        const char* want;
    } rows[] = {
        {{{"PORT", "http"}}, "PORT must be an integer from 0 to 65535, got \"http\""},
        {{{"PORT", "65536"}}, "PORT must be an integer from 0 to 65535, got \"65536\""},
        {{{"PORT", "-1"}}, "PORT must be an integer from 0 to 65535, got \"-1\""},
        {{{"PORT", " 80"}}, "PORT must be an integer from 0 to 65535, got \" 80\""},
        {{{"HOST", "localhost"}}, "HOST must be an IPv4 or IPv6 address, got \"localhost\""},
        {{{"TRUST_PROXY", "yes"}},
         "TRUST_PROXY must be off, a number of proxies, or a list of addresses, networks "
         "(10.0.0.0/8), loopback, linklocal and uniquelocal, got \"yes\""},
        {{{"TRUST_PROXY", "33"}},
         "TRUST_PROXY must be, as a number of proxies, from 0 to 32, got \"33\""},
        {{{"MAX_BODY_BYTES", "1"}},
         "MAX_BODY_BYTES must be an integer from 1024 to 1073741824, got \"1\""},
        {{{"DRAIN_TIMEOUT_MS", "0"}},
         "DRAIN_TIMEOUT_MS must be an integer from 1 to 3600000, got \"0\""},
        {{{"DRAIN_DELAY_MS", "4000"}},
         "DRAIN_DELAY_MS must be below DRAIN_TIMEOUT_MS (4000), got 4000"},
        {{{"LISTEN_PID", "42"}, {"LISTEN_FDS", "-1"}},
         "LISTEN_FDS must be an integer from 0 to 1024, got \"-1\""},
        {{{"LISTEN_PID", "42"}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "web"}},
         "LISTEN_FDNAMES must hold 2 names (LISTEN_FDS), got \"web\""},
    };
    for (const auto& row : rows)
        CHECK(faults_of(row.variables) == std::vector<std::string>{row.want});
}

TEST_CASE("http options: all faults are told at once")
{
    CHECK(faults_of({{"PORT", "x"}, {"HOST", "y"}, {"ACCESS_LOG", "z"}}).size() == 3);
}
