#include "ipc/wire/dependencies.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

using namespace cluster::ipc;

namespace {

std::string cycles(const Needs& needs)
{
    std::string out;
    for (const Cycle& cycle : dependency_cycles(needs))
        out += cycle_text(cycle) + "; ";
    return out;
}

/// app0 needs app1 needs app2 …
Needs chain(int length)
{
    Needs needs;
    for (int i = 0; i < length; ++i)
        needs[fmt::format("app{}", i)] = {fmt::format("app{}", i + 1)};
    return needs;
}

} // namespace

TEST_CASE("dependencies: cycles are named, each app at most once")
{
    const struct {
        std::string name;
        Needs needs;
        const char* want;
    } rows[] = {
        {"nothing", {}, ""},
        {"a tree", {{"a", {"b", "c"}}, {"b", {"d"}}}, ""},
        {"two ways to one app", {{"a", {"b", "c"}}, {"b", {"d"}}, {"c", {"d"}}, {"d", {}}}, ""},
        {"names that nobody has", {{"a", {"x", "y"}}}, ""},
        {"itself", {{"a", {"a"}}}, "a → a; "},
        {"two", {{"a", {"b"}}, {"b", {"a"}}}, "a → b → a; "},
        {"three", {{"a", {"b"}}, {"b", {"c"}}, {"c", {"a"}}}, "a → b → c → a; "},
        {"behind a way in", {{"a", {"b"}}, {"b", {"c"}}, {"c", {"b"}}}, "b → c → b; "},
        {"behind a way in that comes later",
         {{"b", {"c"}}, {"c", {"b"}}, {"d", {"b"}}},
         "b → c → b; "},
        {"two cycles apart",
         {{"a", {"b"}}, {"b", {"a"}}, {"c", {"d"}}, {"d", {"c"}}},
         "a → b → a; c → d → c; "},
        {"one from the other",
         {{"a", {"b", "c"}}, {"b", {"a"}}, {"c", {"d"}}, {"d", {"c"}}},
         "a → b → a; c → d → c; "},
        {"two through one app", {{"a", {"b", "c"}}, {"b", {"a"}}, {"c", {"a"}}}, "a → b → a; "},
        {"one around the other", {{"a", {"b"}}, {"b", {"b", "c"}}, {"c", {"a"}}}, "b → b; "},
        {"a dense one", {{"a", {"a", "b"}}, {"b", {"a", "b"}}}, "a → a; b → b; "},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(cycles(row.needs) == row.want);
    }
}

TEST_CASE("dependencies: a chain of any length is followed, and a long cycle is shortened")
{
    Needs needs = chain(10'000);
    CHECK(cycles(needs) == "");
    needs["app9999"] = {"app0"};
    REQUIRE(dependency_cycles(needs).size() == 1);
    CHECK(dependency_cycles(needs)[0].size() == 10'001);
    CHECK(cycles(needs) == "app0 → app1 → app2 → app3 → app4 → app5 → app6 → app7 → app8 → app9 "
                           "→ … 9990 more … → app0; ");
}

TEST_CASE("dependencies: all apps that need all others are one finding, quickly")
{
    Needs needs;
    for (int i = 0; i < 500; ++i)
        for (int k = 0; k < 500; ++k)
            needs[fmt::format("app{}", i)].push_back(fmt::format("app{}", (i + k + 1) % 500));
    CHECK(dependency_cycles(needs).size() == 1);
}

TEST_CASE("dependencies: the needs of an app are those that it declares")
{
    AppSpec app;
    app.name = "api";
    app.depends_on = {{"db", Condition::started}, {"cache", Condition::ready}};
    Needs needs;
    add_needs(app, needs);
    CHECK(needs == Needs{{"api", {"cache", "db"}}});
}
