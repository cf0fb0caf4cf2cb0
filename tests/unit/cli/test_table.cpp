#include "cli/table.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

using namespace cluster::cli;

namespace {

Table two_columns(std::string name)
{
    return {.columns = {{"id", 2, 0}, {"name", 4, 6}},
            .rows = {{{"0"}, {std::move(name)}}, {{"11"}, {"日本"}}}};
}

std::size_t widest_line(const std::string& text)
{
    std::istringstream lines{text};
    std::size_t widest = 0;
    for (std::string line; std::getline(lines, line);)
        widest = std::max(widest, display_width(line));
    return widest;
}

} // namespace

TEST_CASE("table: box characters in UTF-8")
{
    CHECK(draw(two_columns("api"), {.utf8 = true}) == "┌────┬──────┐\n"
                                                      "│ id │ name │\n"
                                                      "├────┼──────┤\n"
                                                      "│ 0  │ api  │\n"
                                                      "│ 11 │ 日本 │\n"
                                                      "└────┴──────┘\n");
}

TEST_CASE("table: plain characters elsewhere")
{
    CHECK(draw(two_columns("api"), {}) == "+----+------+\n"
                                          "| id | name |\n"
                                          "+----+------+\n"
                                          "| 0  | api  |\n"
                                          "| 11 | 日本 |\n"
                                          "+----+------+\n");
}

TEST_CASE("table: without a limit nothing is cut")
{
    const std::string name(200, 'x');
    CHECK(draw(two_columns(name), {}).find(name) != std::string::npos);
}

TEST_CASE("table: no line is wider than the terminal, at any width")
{
    const Table table = two_columns("a-rather-long-name-of-an-app");
    for (std::size_t width = 1; width <= 60; ++width) {
        CAPTURE(width);
        CHECK(widest_line(draw(table, {.utf8 = true, .width = width})) <= width);
    }
}

TEST_CASE("table: the columns that may shrink are cut, down to their least width")
{
    const Table table = two_columns("worker-number-one");
    CHECK(natural_width(table) == 26);
    CHECK(least_width(table) == 15);
    CHECK(draw(table, {.width = 20}).find("| worker-num~ |\n") != std::string::npos);
}

TEST_CASE("table: colours surround the text and not the blanks")
{
    Table table = two_columns("api");
    table.rows[0][1].colour = Colour::green;
    CHECK(draw(table, {.colour = true}).find("| \x1b[32mapi\x1b[0m  |") != std::string::npos);
}

TEST_CASE("table: a line that must be cut carries no colours that a cut would break")
{
    Table table = two_columns("api");
    table.rows[0][1].colour = Colour::green;
    CHECK(draw(table, {.colour = true, .width = 8}).find('\x1b') == std::string::npos);
}
