#include "app/base/environment.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

TEST_CASE("environment: the block becomes a map, of a name that stands twice the first counts")
{
    const char* const block[] = {"A=1", "EMPTY=", "URL=a=b", "A=2", "no equals sign", nullptr};
    CHECK(read_environment(block) == Variables{{"A", "1"}, {"EMPTY", ""}, {"URL", "a=b"}});
}

TEST_CASE("dotenv: each row is one file")
{
    const struct {
        const char* name;
        const char* text;
        Variables want;
    } rows[] = {
        {"nothing", "", {}},
        {"blank lines and comments", "\n  \n# A=1\n\t# B=2\n", {}},
        {"plain", "A=1\nB=two words \n", {{"A", "1"}, {"B", "two words"}}},
        {"no newline at the end", "A=1", {{"A", "1"}}},
        {"CR LF", "A=1\r\nB=2\r\n", {{"A", "1"}, {"B", "2"}}},
        {"blanks around", "  A  =  1  ", {{"A", "1"}}},
        {"export", "export A=1", {{"A", "1"}}},
        {"empty", "A=\nB=2", {{"A", ""}, {"B", "2"}}},
        {"a comment behind", "A=1 # one\nB=a#b", {{"A", "1"}, {"B", "a"}}},
        {"an equals sign in it", "URL=redis://h:1/0?a=b", {{"URL", "redis://h:1/0?a=b"}}},
        {"single quotes", "A=' # \\n '", {{"A", " # \\n "}}},
        {"double quotes", "A=\"a\\nb\"", {{"A", "a\nb"}}},
        {"backticks", "A=`\"'`", {{"A", "\"'"}}},
        {"several lines", "A=\"one\ntwo\"\nB=2", {{"A", "one\ntwo"}, {"B", "2"}}},
        {"a comment behind quotes", "A=\"1\" # one\nB=2", {{"A", "1"}, {"B", "2"}}},
        {"the last one counts", "A=1\nA=2", {{"A", "2"}}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto got = parse_dotenv(row.text);
        REQUIRE(got.has_value());
        CHECK(*got == row.want);
    }
}

TEST_CASE("dotenv: a fault names its line")
{
    const struct {
        const char* text;
        const char* want;
    } rows[] = {
        {"A=1\nnothing\n", "line 2: expected NAME=value, got \"nothing\""},
        {"A B=1", "line 1: expected NAME=value, got \"A B=1\""},
        {"=1", "line 1: expected NAME=value, got \"=1\""},
        {"A=\"x\ny\"\nB='", "line 3: the ' that opens is not closed"},
    };
    for (const auto& row : rows) {
        const auto got = parse_dotenv(row.text);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error().what == row.want);
    }
}

TEST_CASE("environment: what is there, what is empty and what is not")
{
    Environment environment{{{"A", "1"}, {"EMPTY", ""}}};
    CHECK(environment.has("A"));
    CHECK_FALSE(environment.has("EMPTY"));
    CHECK_FALSE(environment.has("NOT"));
    CHECK(environment.text("EMPTY", "x") == "x");
    CHECK(environment.number("NOT", 7, 1, 9) == 7);
    CHECK(environment.flag("EMPTY", true));
    CHECK(environment.choice("NOT", "a", {"a", "b"}) == "a");
    CHECK(environment.duration("NOT", 5s, 1s, 9s) == 5s);
    CHECK(environment.list("NOT").empty());
    CHECK(environment.faults().empty());
}

TEST_CASE("environment: values of each kind")
{
    Environment environment{{{"N", "8"},
                             {"YES", "On"},
                             {"NO", "false"},
                             {"C", "b"},
                             {"L", " a, ,b ,c,"},
                             {"M15", "15m"},
                             {"D7", "7d"},
                             {"MS", "500ms"},
                             {"BARE", "90"},
                             {"H", "1.5h"}}};
    CHECK(environment.number("N", 1, 1, 9) == 8);
    CHECK(environment.flag("YES", false));
    CHECK_FALSE(environment.flag("NO", true));
    CHECK(environment.choice("C", "a", {"a", "b"}) == "b");
    CHECK(environment.list("L") == std::vector<std::string>{"a", "b", "c"});
    const auto duration = [&](const char* name) {
        return environment.duration(name, 0ms, 1ms, std::chrono::years{1});
    };
    CHECK(duration("M15") == 15min);
    CHECK(duration("D7") == 7 * 24h);
    CHECK(duration("MS") == 500ms);
    CHECK(duration("BARE") == 90s); // as jsonwebtoken counts
    CHECK(duration("H") == 90min);
    CHECK(environment.faults().empty());
}

TEST_CASE("environment: each fault is one sentence, and all of them are kept")
{
    Environment environment{{{"N", "10"}, {"F", "maybe"}, {"C", "z"}, {"D", "soon"}, {"E", "2h"}}};
    CHECK(environment.number("N", 3, 1, 9) == 3);
    CHECK(environment.flag("F", true));
    CHECK(environment.choice("C", "a", {"a", "b"}) == "a");
    CHECK(environment.duration("D", 5s, 1s, 60s) == 5s);
    CHECK(environment.duration("E", 5s, 1s, 60s) == 5s);
    environment.fault("X must be Y");
    CHECK(environment.faults() ==
          std::vector<std::string>{
              "N must be an integer from 1 to 9, got \"10\"",
              "F must be true or false, got \"maybe\"", "C must be one of a, b, got \"z\"",
              "D must be a duration like 15m, 12h or 7d, from 1 s to 60 s, got \"soon\"",
              "E must be a duration like 15m, 12h or 7d, from 1 s to 60 s, got \"2h\"",
              "X must be Y"});
}
