#include "ipc/wire/address.hpp"
#include "ipc/wire/units.hpp"

#include <doctest/doctest.h>

using namespace cluster::ipc;
using std::chrono::milliseconds;

TEST_CASE("units: durations take milliseconds or one unit")
{
    const struct {
        const char* text;
        std::optional<std::int64_t> want;
    } rows[] = {
        {"0", 0},
        {"1500", 1500},
        {"1500ms", 1500},
        {"5s", 5000},
        {"2m", 120000},
        {"1h", 3600000},
        {"", {}},
        {"s", {}},
        {"5 s", {}},
        {"-1", {}},
        {"1.5s", {}},
        {"5S", {}},
        {"5sec", {}},
        {"1d", {}},
        {" 5", {}},
        {"+5", {}},
        {"99999999999999999999", {}},
        {"9223372036854775807h", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto got = parse_duration(row.text);
        CHECK(got.has_value() == row.want.has_value());
        if (got && row.want) CHECK(got->count() == *row.want);
    }
}

TEST_CASE("units: memory units are powers of 1024")
{
    const struct {
        const char* text;
        std::optional<std::uint64_t> want;
    } rows[] = {
        {"1048576", 1048576},
        {"10K", 10240},
        {"10k", 10240},
        {"10KB", 10240},
        {"1M", 1048576},
        {"1mb", 1048576},
        {"1G", 1073741824},
        {"2Gb", 2147483648},
        {"0", 0},
        {"", {}},
        {"M", {}},
        {"1T", {}},
        {"1 G", {}},
        {"1B", {}},
        {"1.5G", {}},
        {"-1", {}},
        {"1GBB", {}},
        {"9223372036854775807K", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(parse_bytes(row.text) == row.want);
    }
}

TEST_CASE("units: signals by name, short name and number")
{
    const struct {
        const char* text;
        std::optional<int> want;
    } rows[] = {
        {"SIGTERM", 15}, {"TERM", 15}, {"term", 15},       {"SigUsr2", 12}, {"9", 9},
        {"64", 64},      {"0", {}},    {"65", {}},         {"-9", {}},      {"SIGNOPE", {}},
        {"", {}},        {"SIG", {}},  {"SIGSIGTERM", {}}, {"9 ", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(parse_signal(row.text) == row.want);
    }
    CHECK(signal_name(2) == "SIGINT");
    CHECK(signal_name(12) == "SIGUSR2");
    for (int number = 1; number <= 64; ++number)
        CHECK(parse_signal(signal_name(number)) == number);
}

TEST_CASE("units: octal permission bits")
{
    CHECK(parse_octal("22") == 022U);
    CHECK(parse_octal("0022") == 022U);
    CHECK(parse_octal("0o77") == 077U);
    CHECK(parse_octal("0777") == 0777U);
    for (const char* bad : {"", "1000", "8", "-1", "0x1", "0o"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_octal(bad).has_value());
    }
}

TEST_CASE("units: UTF-8 is well-formed or not")
{
    for (const char* good : {"", "abc", "é", "€", "😀", "\xF4\x8F\xBF\xBF", "\xEF\xBF\xBF"}) {
        CAPTURE(good);
        CHECK(is_utf8(good));
    }
    for (const char* bad : {"\x80", "\xC3",
                            "\xC3"
                            "a",
                            "\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xE2\x82",
                            "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xFF", "a\xFE"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_utf8(bad));
    }
}

TEST_CASE("units: words are split on blanks and quotes hold them together")
{
    using Words = std::vector<std::string>;
    const struct {
        const char* text;
        std::optional<Words> want;
    } rows[] = {
        {"", Words{}},
        {"  \t ", Words{}},
        {"--port 80", Words{"--port", "80"}},
        {"  a   b  ", Words{"a", "b"}},
        {"--title 'my app' x", Words{"--title", "my app", "x"}},
        {"--title=\"my app\"", Words{"--title=my app"}},
        {"'it\"s'", Words{"it\"s"}},
        {"a '' b", Words{"a", "", "b"}},
        {"'open", {}},
        {"close\"", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(split_words(row.text) == row.want);
    }
}

TEST_CASE("units: the nearest name is a small typing mistake away")
{
    const std::vector<std::string_view> known{"instances", "script", "name", "env", "out"};
    CHECK(nearest("instnaces", known) == "instances");
    CHECK(nearest("instance", known) == "instances");
    CHECK(nearest("Script", known) == "script");
    CHECK(nearest("nmae", known) == "name");
    CHECK(nearest("evn", known) == "env");
    CHECK(nearest("colour", known) == "");
    CHECK(nearest("x", known) == "");
    CHECK(nearest(std::string(5000, 'n'), known) == "");
}

TEST_CASE("addresses: what is right comes back in its shortest form")
{
    const struct {
        const char* text;
        const char* want;
    } rows[] = {
        {"3001", "3001"},
        {":3001", "3001"},
        {"0", "0"},
        {"65535", "65535"},
        {"127.0.0.1:3001", "127.0.0.1:3001"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::]:80", "[::]:80"},
        {"[::1]:3001", "[::1]:3001"},
        {"unix:/run/x.sock", "unix:/run/x.sock"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(check_address(row.text) == row.want);
    }
}

TEST_CASE("addresses: what is wrong is told apart")
{
    const struct {
        std::string text;
        const char* want;
    } rows[] = {
        {"", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"http", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"65536", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"-1", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"localhost:80", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"256.0.0.1:80", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {"127.0.0.1", "a port from 0 to 65535, \"ADDRESS:PORT\""},
        {":", "a port from 0 to 65535 after the colon"},
        {"127.0.0.1:", "a port from 0 to 65535 after the colon"},
        {"127.0.0.1:99999", "a port from 0 to 65535 after the colon"},
        {"[::1]:000080", "a port from 0 to 65535 after the colon"},
        {"::1", "an IPv6 address in brackets"},
        {"::1:80", "an IPv6 address in brackets"},
        {"unix:", "unix: and an absolute path"},
        {"unix:x.sock", "unix: and an absolute path"},
        {"unix:/" + std::string(107, 'x'), "unix: and a path of at most 107 bytes"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto got = check_address(row.text);
        REQUIRE_FALSE(got.has_value());
        CHECK_MESSAGE(got.error().starts_with(row.want), got.error());
    }
    CHECK(check_address("unix:/" + std::string(106, 'x')).has_value());
}
