#include "cli/text.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

using namespace cluster::cli;

TEST_CASE("text: the width counts columns, not bytes")
{
    const struct {
        std::string text;
        std::size_t want;
    } rows[] = {
        {"", 0},      {"api", 3},      {"größe", 5},
        {"日本", 4},  {"e\u0301", 1},                   // e and a combining accent
        {"🚀 up", 5}, {"\xff\xfe", 2}, {"\xe6\x97", 2}, // half a character: each byte is shown
                                                        // for itself
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(display_width(row.text) == row.want);
    }
}

TEST_CASE("text: what is too long is cut to the width and marked")
{
    const struct {
        std::string text;
        std::size_t width;
        bool utf8;
        std::string want;
    } rows[] = {
        {"worker", 6, true, "worker"}, {"worker", 5, true, "work…"}, {"worker", 5, false, "work~"},
        {"worker", 1, true, "…"},      {"worker", 0, true, ""},      {"日本語", 5, true, "日本…"},
        {"日本語", 4, true, "日…"}, // a wide character is never halved
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CAPTURE(row.width);
        CHECK(fit(row.text, row.width, row.utf8) == row.want);
    }
}

TEST_CASE("text: padding fills up to the width and never cuts")
{
    CHECK(pad("api", 5) == "api  ");
    CHECK(pad("日", 3) == "日 ");
    CHECK(pad("worker", 3) == "worker");
}

TEST_CASE("text: control characters cannot reach the terminal")
{
    const struct {
        std::string text;
        std::string want;
    } rows[] = {
        {"plain ü 日", "plain ü 日"},
        {"\x1b[2J", "\\x1b[2J"},
        {"a\rb", "a\\x0db"},
        {"a\nb", "a\\nb"},
        {"\x7f", "\\x7f"},
        {"\xc2\x9b"
         "2J",
         "\\x9b2J"}, // CSI as one C1 character
        {"\xff", "\\xff"},
        {"abc\u202edcb", "abc\\u202edcb"},
        {"a\tb", "a\\x09b"},
        {std::string{"\0", 1}, "\\x00"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.want);
        CHECK(escape_controls(row.text) == row.want);
    }
    CHECK(escape_controls("a\tb\x1b", true) == "a\tb\\x1b");
}

TEST_CASE("text: a log line keeps its colours and nothing else that a terminal obeys")
{
    const struct {
        std::string text;
        std::string want;
    } rows[] = {
        {"plain", "plain"},
        {"\x1b[31mred\x1b[0m!", "\x1b[31mred\x1b[0m!\x1b[0m"},
        {"\x1b[38;5;9mx", "\x1b[38;5;9mx\x1b[0m"},
        {"\x1b[2J\x1b[31mx", "\\x1b[2J\x1b[31mx\x1b[0m"},
        {"\x1b]0;title\x07", "\\x1b]0;title\\x07"},
        {"\x1b[31", "\\x1b[31"},
        {"\x1b[", "\\x1b["},
    };
    for (const auto& row : rows) {
        CAPTURE(row.want);
        CHECK(safe_log_line(row.text) == row.want);
    }
}

TEST_CASE("text: sizes, ages, durations and times are spelled as PM2 does")
{
    CHECK(format_bytes(0) == "0b");
    CHECK(format_bytes(1023) == "1023b");
    CHECK(format_bytes(1024) == "1.0kb");
    CHECK(format_bytes(52'219'084) == "49.8mb");
    CHECK(format_bytes(3ULL << 30U) == "3.0gb");
    CHECK(format_bytes(5000ULL << 30U) == "5000.0gb");

    CHECK(format_age(-5) == "0s");
    CHECK(format_age(59'999) == "59s");
    CHECK(format_age(180'000) == "3m");
    CHECK(format_age(7'200'000) == "2h");
    CHECK(format_age(4LL * 86'400'000) == "4D");

    CHECK(format_duration(100) == "100 ms");
    CHECK(format_duration(1600) == "1600 ms");
    CHECK(format_duration(5000) == "5 s");
    CHECK(format_duration(5500) == "5500 ms");

    CHECK(format_time(0).empty());
    CHECK(format_time(1'790'000'000'123) == "2026-09-21T14:13:20.123Z");
}

TEST_CASE("text: paint adds colours only where they are wanted")
{
    CHECK(paint("x", Colour::red, {.colour = true}) == "\x1b[31mx\x1b[0m");
    CHECK(paint("x", Colour::none, {.colour = true}) == "x");
    CHECK(paint("x", Colour::red, {.colour = false}) == "x");
}
