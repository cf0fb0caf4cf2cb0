#include "app/events/rooms.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace cluster::app;
using Names = std::vector<std::string>;

namespace {

Names sorted(Names names)
{
    std::ranges::sort(names);
    return names;
}

RoomTable three()
{
    RoomTable table;
    for (const char* const id : {"a", "b", "c"})
        table.add(id);
    table.join("a", "red");
    table.join("b", "red");
    table.join("b", "blue");
    return table;
}

} // namespace

TEST_CASE("rooms: whom something is for")
{
    const RoomTable table = three();
    const struct {
        const char* name;
        Audience audience;
        Names want;
    } rows[] = {
        {"all", {}, {"a", "b", "c"}},
        {"one room", {.rooms = {"red"}}, {"a", "b"}},
        {"each once", {.rooms = {"red", "blue", "b"}}, {"a", "b"}},
        {"its own room", {.rooms = {"c"}}, {"c"}},
        {"all but one", {.except = {"c"}}, {"a", "b"}},
        {"all but a room", {.except = {"red"}}, {"c"}},
        {"a room but one", {.rooms = {"red"}, .except = {"b"}}, {"a"}},
        {"a room but another", {.rooms = {"red"}, .except = {"blue"}}, {"a"}},
        {"an unknown room", {.rooms = {"green"}}, {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(sorted(table.select(row.audience)) == row.want);
    }
}

TEST_CASE("rooms: who leaves is nowhere any more")
{
    RoomTable table = three();
    CHECK(table.rooms_of("b") == Names{"b", "blue", "red"});
    table.leave("b", "blue");
    CHECK_FALSE(table.has_room("blue"));
    CHECK_FALSE(table.is_in("b", "blue"));
    table.leave("b", "blue"); // again: nothing
    table.remove("b");
    CHECK(table.rooms_of("b").empty());
    CHECK_FALSE(table.has_room("b"));
    CHECK(table.select({.rooms = {"red"}}) == Names{"a"});
    table.remove("a");
    CHECK(table.rooms() == Names{"c"});
    CHECK(table.size() == 1);
}

TEST_CASE("rooms: only who is there can join")
{
    RoomTable table = three();
    table.join("gone", "red");
    CHECK_FALSE(table.is_in("gone", "red"));
    CHECK(table.is_in("a", "a"));
}
