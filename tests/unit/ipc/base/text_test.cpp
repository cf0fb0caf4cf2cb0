#include "ipc/base/text.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace cluster::ipc;

TEST_CASE("parse_number: takes the whole text or nothing")
{
    const struct {
        const char* text;
        std::optional<int> want;
    } rows[] = {
        {"0", 0},    {"42", 42}, {"-7", -7},   {"2147483647", 2147483647},
        {"", {}},    {"+1", {}}, {" 1", {}},   {"1 ", {}},
        {"1x", {}},  {"x", {}},  {"0x10", {}}, {"2147483648", {}},
        {"1.5", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        CHECK(parse_number<int>(row.text) == row.want);
    }
    CHECK(parse_number<std::uint16_t>("0BB9", 16) == 3001);
    CHECK(parse_number<std::uint16_t>("10BB9", 16) == std::nullopt);
    CHECK(parse_number<double>("12.5") == 12.5);
    CHECK(parse_number<double>("12.5s") == std::nullopt);
}

TEST_CASE("next_word: separators come in any number, and the end is an empty word")
{
    const struct {
        const char* text;
        const char* separators;
        std::vector<std::string> want;
    } rows[] = {
        {"a bc  d\n", " \n", {"a", "bc", "d"}},
        {"  x", " \n", {"x"}},
        {"", " \n", {}},
        {" \n ", " \n", {}},
        {"cpu,cpuacct", ",", {"cpu", "cpuacct"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        std::string_view rest = row.text;
        std::vector<std::string> words;
        for (auto word = next_word(rest, row.separators); !word.empty();
             word = next_word(rest, row.separators))
            words.emplace_back(word);
        CHECK(words == row.want);
        CHECK(rest.empty());
    }
}
