#include "cli/monit_log.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::cli;

namespace {

LogPane numbered(int count)
{
    LogPane pane;
    for (int at = 1; at <= count; ++at)
        pane.add("line " + std::to_string(at), at % 2 == 0, true);
    return pane;
}

std::string shown(const LogPane& pane, int width = 20, int height = 3)
{
    return text_of(pane.draw(width, height));
}

} // namespace

TEST_CASE("monit logs: the last lines stand in the pane, long ones wrapped, stderr in red")
{
    LogPane pane = numbered(4);
    CHECK(shown(pane) == "line 2\nline 3\nline 4\n");
    CHECK(pane.draw(20, 1)[0][0].paint.colour == Colour::red);
    pane.add("0123456789abc", false, true);
    CHECK(shown(pane, 10) == "line 4\n0123456789\nabc\n");
    CHECK(shown(LogPane{}).empty());
}

TEST_CASE("monit logs: what one has scrolled to stays while lines come")
{
    LogPane pane = numbered(10);
    pane.scroll(4);
    CHECK(shown(pane) == "line 4\nline 5\nline 6\n");
    pane.add("new", false, true);
    CHECK(shown(pane) == "line 4\nline 5\nline 6\n");
    CHECK(pane.scrolled() == 5);
    pane.to_newest();
    CHECK(shown(pane) == "line 9\nline 10\nnew\n");
    pane.to_oldest();
    pane.settle(20, 3);
    CHECK(shown(pane) == "line 1\nline 2\nline 3\n");
    pane.scroll(-100);
    CHECK(pane.scrolled() == 0);
}

TEST_CASE("monit logs: memory has a bound, of lines and of each line")
{
    LogPane pane = numbered(5000);
    CHECK(pane.size() == 2000);
    pane.scroll(1999);
    pane.add(std::string(10'000'000, 'x'), false, true);
    CHECK(pane.scrolled() == 1999);
    pane.to_newest();
    CHECK(shown(pane, 100, 1).find("more bytes]") != std::string::npos);
}

TEST_CASE("monit logs: search goes from match to match, whatever the letters' case")
{
    LogPane pane;
    for (const char* text : {"one Error", "two", "three error", "four"})
        pane.add(text, false, true);
    pane.search("ERROR");
    CHECK(pane.search_text() == "/ERROR: 1 of 2");
    CHECK(shown(pane, 20, 1) == "three error\n");
    pane.next_match(true);
    CHECK(pane.search_text() == "/ERROR: 2 of 2");
    CHECK(shown(pane, 20, 1) == "one Error\n");
    pane.next_match(true); // there is none
    CHECK(shown(pane, 20, 1) == "one Error\n");
    pane.next_match(false);
    CHECK(shown(pane, 20, 1) == "three error\n");
    const Line line = pane.draw(20, 1)[0];
    CHECK(line.back().text == "error");
    CHECK(line.back().paint.reverse);
    pane.search("absent");
    CHECK(pane.search_text() == "/absent: not found");
    pane.search("");
    CHECK(pane.search_text().empty());
}
