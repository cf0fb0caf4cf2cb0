#include "supervisor/core/line_search.hpp"

#include <doctest/doctest.h>

#include <ctime>
#include <string>
#include <vector>

using namespace cluster::supervisor;

namespace {

LineSearch searching(const std::string& pattern)
{
    auto search = LineSearch::make(pattern);
    if (!search) FAIL(search.error());
    return std::move(*search);
}

/// Looks at all that waits.
bool finds(LineSearch& search)
{
    bool found = false;
    while (search.pending())
        found = search.look() || found;
    return found;
}

} // namespace

TEST_CASE("line search: a pattern is looked for in whole lines, wherever the bytes are cut")
{
    const std::string long_line(5000, 'x');
    const struct {
        const char* name;
        const char* pattern;
        std::vector<std::string> bytes;
        bool found;
    } rows[] = {
        {"anywhere in the line", "listening", {"[1] listening on 80\n"}, true},
        {"not there", "listening", {"[1] starting\n"}, false},
        {"in pieces", "^listening$", {"list", "en", "ing", "\n"}, true},
        {"an unfinished line waits", "listening", {"listening"}, false},
        {"in a later line", "^two$", {"one\nt", "wo\nthree\n"}, true},
        {"not across lines", "one.*two", {"one\ntwo\n"}, false},
        {"a carriage return is no part of it", "ready$", {"ready\r\n"}, true},
        {"an empty line", "^$", {"a\n\nb\n"}, true},
        {"case matters", "Ready", {"ready\n"}, false},
        {"choice, class and count", "(ready|up) in [0-9]+ ?ms", {"up in 12 ms\n"}, true},
        {"bytes that are no text", "ready", {std::string{"\0\xff ready\n", 9}}, true},
        {"the beginning of a long line", "^xxx", {long_line, long_line, "\n"}, true},
        {"not its end", "end", {long_line, "end\n"}, false},
        {"the line behind a long one", "^next$", {long_line, "end\nnext\n"}, true},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        LineSearch search = searching(row.pattern);
        for (const std::string& bytes : row.bytes)
            search.push(bytes);
        CHECK(finds(search) == row.found);
    }
}

TEST_CASE("line search: no pattern and no line takes the daemon's time or its stack")
{
    const std::string line(100'000, 'a');
    for (const char* pattern : {"(a+)+$", "(a|aa)+$", "^(?:.|\\n)*!", "(a*)*b", ".*.*.*=.*"}) {
        CAPTURE(pattern);
        LineSearch search = searching(pattern);
        search.push(line + "!\n");
        const std::clock_t begin = std::clock(); // CPU time: the machine may be busy
        (void)search.look();
        // Milliseconds, where backtracking takes longer than anybody waits.
        CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 10);
    }
}

TEST_CASE("line search: what has no bound or no meaning is refused with a reason")
{
    for (const char* pattern : {"(a)\\1", "(", "[a", "a{2,1}"}) {
        CAPTURE(pattern);
        const auto search = LineSearch::make(pattern);
        REQUIRE_FALSE(search);
        CHECK_FALSE(search.error().empty());
    }
}

TEST_CASE("line search: a flood takes no more memory than its share, and lines go on after it")
{
    LineSearch search = searching("^wanted$");
    for (const char* flood : {"noise noise noise\n", "\n"}) {
        CAPTURE(flood);
        for (int i = 0; i < 100'000; ++i)
            search.push(flood);
        std::size_t kept = 0;
        while (search.pending()) {
            REQUIRE_FALSE(search.look());
            ++kept;
        }
        CHECK(kept * sizeof(std::string) <= LineSearch::kMaxPendingBytes);
        CHECK(kept > 1000);
        search.push("wanted\n");
        CHECK(finds(search));
    }
}
