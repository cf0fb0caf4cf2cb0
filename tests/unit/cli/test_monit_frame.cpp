#include "cli/monit_frame.hpp"
#include "cli/monit_graph.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

using namespace cluster::cli;

TEST_CASE("monit: what an app prints is harmless on the screen")
{
    CHECK(printable("plain", true) == "plain");
    CHECK(printable("\x1b[31mred\x1b[0m", true) == "red");
    CHECK(printable("\x1b[2Jgone\x07", true) == "\\x1b[2Jgone\\x07");
    CHECK(printable("\x1b", true) == "\\x1b");
    CHECK(printable("a\tb\r", true) == "a    b");
    CHECK(printable("grün \xff", true) == "grün \\xff");
    CHECK(printable("grün 漢", false) == "gr?n ?");
}

TEST_CASE("monit: lines are as wide as they say")
{
    const Line line{{"ab"}, {"漢字"}};
    CHECK(text_of({fitted(line, 8, true)}) == "ab漢字\n");
    CHECK(width_of(fitted(line, 8, true)) == 8);
    for (int width = 0; width < 8; ++width) {
        CAPTURE(width);
        CHECK(width_of(fitted(line, width, true)) == width);
    }
    CHECK(text_of({fitted(line, 5, true)}) == "ab漢…\n");
    CHECK(text_of({fitted({{"abcdef"}}, 4, false)}) == "abc~\n");
}

TEST_CASE("monit: long lines are wrapped between characters and keep their paint")
{
    const Paint red{.colour = Colour::red};
    const Lines rows = wrapped({{"abc"}, {"d漢e", red}}, 4);
    REQUIRE(rows.size() == 2);
    CHECK(rows[0] == Line{{"abc"}, {"d", red}});
    CHECK(rows[1] == Line{{"漢e", red}});
    CHECK(wrapped({}, 4).size() == 1);
}

TEST_CASE("monit: graphs fill from below, the newest at the right")
{
    const std::vector<float> rising{0, 25, 50, 75, 100};
    CHECK(graph(rising, 3, 1, 100, true) == std::vector<std::string>{" ⣠⣾"});
    CHECK(graph(rising, 5, 1, 100, false) == std::vector<std::string>{" .::|"});
    CHECK(graph(std::array{100.0F}, 2, 2, 100, false) == std::vector<std::string>{" |", " |"});
    CHECK(graph(std::array{0.1F}, 1, 1, 100, false) ==
          std::vector<std::string>{"."}); // not nothing
    CHECK(graph({}, 2, 1, 0, true) == std::vector<std::string>{"  "});
}
