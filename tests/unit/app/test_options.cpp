#include "app/options.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

constexpr pid_t kSelf = 42;

std::string error_of(const Variables& variables)
{
    const auto options = parse_options(variables, kSelf);
    return options ? "" : options.error().text();
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
        const auto got = parse_listen_fds(row.variables, kSelf);
        REQUIRE(got.has_value());
        CHECK(*got == row.want);
    }
}

TEST_CASE("options: defaults")
{
    const auto options = parse_options({}, kSelf);
    REQUIRE(options.has_value());
    CHECK(options->port == 3001);
    CHECK(options->host == "");
    CHECK(options->notify_socket == "");
    CHECK_FALSE(options->instance.has_value());
    CHECK(options->passed.empty());
    CHECK(options->limits.drain == 4s);
}

TEST_CASE("options: what the environment says")
{
    const auto options = parse_options({{"PORT", "0"},
                                        {"HOST", "127.0.0.1"},
                                        {"NODE_APP_INSTANCE", "3"},
                                        {"NOTIFY_SOCKET", "@x"},
                                        {"DRAIN_TIMEOUT_MS", "1"},
                                        {"HEADER_TIMEOUT_MS", "2"},
                                        {"BODY_TIMEOUT_MS", "3"},
                                        {"KEEP_ALIVE_TIMEOUT_MS", "4"},
                                        {"WRITE_TIMEOUT_MS", "5"}},
                                       kSelf);
    REQUIRE(options.has_value());
    CHECK(options->port == 0);
    CHECK(options->host == "127.0.0.1");
    CHECK(options->instance == 3);
    CHECK(options->notify_socket == "@x");
    CHECK(options->limits == Limits{2ms, 3ms, 4ms, 5ms, 1ms});
}

TEST_CASE("options: an instance that is no number is only not shown")
{
    const auto options = parse_options({{"NODE_APP_INSTANCE", "blue"}}, kSelf);
    REQUIRE(options.has_value());
    CHECK_FALSE(options->instance.has_value());
}

TEST_CASE("options: a fault names the variable, what is allowed and what was found")
{
    const struct {
        Variables variables;
        const char* want;
    } rows[] = {
        {{{"PORT", "http"}}, "PORT must be an integer from 0 to 65535, got \"http\""},
        {{{"PORT", "65536"}}, "PORT must be an integer from 0 to 65535, got \"65536\""},
        {{{"PORT", "-1"}}, "PORT must be an integer from 0 to 65535, got \"-1\""},
        {{{"PORT", " 80"}}, "PORT must be an integer from 0 to 65535, got \" 80\""},
        {{{"DRAIN_TIMEOUT_MS", "0"}},
         "DRAIN_TIMEOUT_MS must be an integer from 1 to 3600000, got \"0\""},
        {{{"LISTEN_PID", "42"}, {"LISTEN_FDS", "-1"}},
         "LISTEN_FDS must be an integer from 0 to 1024, got \"-1\""},
        {{{"LISTEN_PID", "42"}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "web"}},
         "LISTEN_FDNAMES must hold 2 names (LISTEN_FDS), got \"web\""},
    };
    for (const auto& row : rows)
        CHECK(error_of(row.variables) == row.want);
}

TEST_CASE("options: the environment block becomes a map")
{
    const char* const block[] = {"A=1", "EMPTY=", "URL=a=b", "A=2", "no equals sign", nullptr};
    CHECK(read_environment(block) == Variables{{"A", "1"}, {"EMPTY", ""}, {"URL", "a=b"}});
}
