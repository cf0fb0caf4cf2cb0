#include "supervisor/core/shown_line.hpp"

#include "ipc/wire/units.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster;
using namespace cluster::supervisor;

TEST_CASE("shown line: what a worker says is one line of UTF-8 that no terminal obeys")
{
    const struct {
        const char* name;
        std::string line;
        std::size_t most;
        std::string want;
    } rows[] = {
        {"plain text stays", "listening on :3000", 200, "listening on :3000"},
        {"nothing stays nothing", "", 200, ""},
        {"characters of every length", "a\u00e9\u20ac\U0001F600", 200, "a\u00e9\u20ac\U0001F600"},
        {"a tab is a blank", "a\tb", 200, "a b"},
        {"escapes lose their escape", "\x1b[31mred\x1b[0m", 200, "[31mred[0m"},
        {"newline, NUL and DEL go",
         std::string{"a\nb\0c\x7f"
                     "d",
                     8}
             .substr(0, 8),
         200, "abcd"},
        {"C1 controls go",
         "a\u0085\u009b"
         "b",
         200, "ab"},
        {"the first character behind C1 stays", "\u00a0", 200, "\u00a0"},
        {"Latin-1 is told as unknown", "caf\xe9!", 200, "caf\uFFFD!"},
        {"a stray continuation", "\x80", 200, "\uFFFD"},
        {"a character torn at the end", "\xe2\x82", 200, "\uFFFD\uFFFD"},
        {"overlong", "\xc0\xaf", 200, "\uFFFD\uFFFD"},
        {"cut at the limit", "abcdef", 3, "abc"},
        {"never in the midst of a character", "ab\u20ac", 4, "ab"},
        {"a replacement needs room too", "ab\xff", 4, "ab"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(shown_line(row.line, row.most) == row.want);
    }
}

TEST_CASE("shown line: 200 bytes are kept of a long one")
{
    CHECK(shown_line(std::string(1000, 'x')) == std::string(200, 'x'));
}
