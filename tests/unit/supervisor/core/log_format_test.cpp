#include "supervisor/core/log_format.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <ctime>
#include <string>

using namespace cluster::supervisor;
using namespace std::string_literals;

namespace {

constexpr std::int64_t kMoment = 1'741'046'709'047; // Tuesday 2025-03-04 00:05:09.047 UTC

/// For the length of a test: tests of one program run one after the other.
struct Zone {
    explicit Zone(const char* name) { set(name); }
    ~Zone() { set("UTC"); }
    Zone(const Zone&) = delete;
    Zone& operator=(const Zone&) = delete;

private:
    static void set(const char* name)
    {
        ::setenv("TZ", name, 1);
        ::tzset();
    }
};

std::string date(const char* pattern, std::int64_t wall_ms = kMoment)
{
    std::string out;
    DateFormat{pattern}.append(out, wall_ms);
    return out;
}

LineStyle dated(const char* pattern)
{
    LineStyle style;
    style.date_format = pattern;
    return style;
}

LineStyle objects(const char* name = "x")
{
    LineStyle style;
    style.json = true;
    style.app_name = name;
    return style;
}

std::string formed(LineStyle style, std::string_view bytes)
{
    LineFormat format{std::move(style)};
    std::string out{format.head(kMoment)};
    CHECK(format.append(out, bytes, kMoment, std::string::npos) == bytes.size());
    return out;
}

} // namespace

TEST_CASE("log format: the tokens of dayjs")
{
    const Zone zone{"UTC"};
    const struct {
        const char* pattern;
        const char* want;
    } rows[] = {
        {"YYYY YY", "2025 25"},
        {"M MM MMM MMMM", "3 03 Mar March"},
        {"D DD d dd ddd dddd", "4 04 2 Tu Tue Tuesday"},
        {"H HH h hh", "0 00 12 12"},
        {"m mm s ss SSS", "5 05 9 09 047"},
        {"A a", "AM am"},
        {"Z ZZ", "+00:00 +0000"},
        {"YYYY-MM-DDTHH:mm:ss", "2025-03-04T00:05:09"},
        {"YYYY-MM-DD HH:mm:ss.SSS Z", "2025-03-04 00:05:09.047 +00:00"},
        {"[at] HH [o'clock]", "at 00 o'clock"},
        {"[YYYY] [", "YYYY ["},
        {"", ""},
        {"é%%", "é%%"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.pattern);
        CHECK(date(row.pattern) == row.want);
    }
}

TEST_CASE("log format: hours of the afternoon, and zones on both sides of Greenwich")
{
    const std::int64_t afternoon = kMoment + 13 * 3'600'000;
    {
        const Zone zone{"UTC"};
        CHECK(date("h hh H A a", afternoon) == "1 01 13 PM pm");
        CHECK(date("ss SSS", -1) == "59 999"); // before 1970
    }
    {
        const Zone zone{"IST-5:30"};
        CHECK(date("HH:mm Z ZZ") == "05:35 +05:30 +0530");
    }
    const Zone zone{"NST3:30"};
    CHECK(date("D HH:mm Z ZZ") == "3 20:35 -03:30 -0330");
}

TEST_CASE("log format: each line gets the date, and what has no end is left without one")
{
    const Zone zone{"UTC"};
    const LineStyle style = dated("HH:mm");
    CHECK(formed(style, "one\ntwo\n") == "00:05: one\n00:05: two\n");
    CHECK(formed(style, "one\ntw") == "00:05: one\n00:05: tw");
    CHECK(formed(style, "\n\n") == "00:05: \n00:05: \n");
    CHECK(formed({}, "as\nit\0is"s) == "as\nit\0is"s);
}

TEST_CASE("log format: an object for each line, with PM2's keys in PM2's order")
{
    LineStyle style = objects("a\"b");
    style.error = true;
    style.process_id = 7;
    const std::string first = R"({"message":"say \"hi\"\t","timestamp":"2025-03-04T00:05:09.047Z",)"
                              R"("type":"err","process_id":7,"app_name":"a\"b"})"
                              "\n";
    CHECK(formed(style, "say \"hi\"\t\n") == first);
    CHECK(formed(style, "say \"hi\"\t") == first); // unfinished ones are ended
    CHECK(formed(style, "\n\n").size() == 2 * formed(style, "\n").size());
}

TEST_CASE("log format: whatever bytes come, each line of JSON can be parsed")
{
    const LineStyle style = objects();
    const struct {
        std::string bytes, want;
    } rows[] = {
        {"gr\xC3\xBC\xC3\x9F", "grüß"},
        {"\xF0\x9F\x98\x80", "😀"},
        {"a\xFFz", "a\uFFFDz"},
        {"\xC3", "\uFFFD"},
        {"\xC0\x80", "\uFFFD\uFFFD"},                     // overlong
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},           // a surrogate
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"}, // beyond Unicode
        {"\x01\x1f\x7f\b\f\r\\/", "\x01\x1f\x7f\b\f\r\\/"},
        {std::string{"\0", 1}, std::string{"\0", 1}},
    };
    for (const auto& row : rows) {
        const auto line = nlohmann::json::parse(formed(style, row.bytes + "\n"), nullptr, false);
        REQUIRE(line.is_object());
        CHECK(line["message"] == row.want);
    }
}

TEST_CASE("log format: lines of any length become what they were")
{
    for (const std::size_t size : {0U, 1U, 7U, 8U, 9U, 1022U, 1023U, 1024U, 1025U, 5000U}) {
        for (const std::string odd : {"", "\"", "\xC3\xBC", "\\\x01"}) {
            const std::string line = std::string(size, 'a') + odd + std::string(size, 'z');
            if (line.empty()) continue; // what follows a newline then is no line
            const std::string found = formed(objects(), line + "\n" + line);
            const auto newline = found.find('\n');
            CAPTURE(size);
            CHECK(nlohmann::json::parse(found.substr(0, newline))["message"] == line);
            CHECK(nlohmann::json::parse(found.substr(newline + 1))["message"] == line);
        }
    }
}

TEST_CASE("log format: JSON takes its timestamp in the date format, when there is one")
{
    const Zone zone{"UTC"};
    LineStyle style = dated("YYYY [\"]");
    style.json = true;
    const std::string line = formed(style, "m\n");
    CHECK(nlohmann::json::parse(line)["timestamp"] == "2025 \"");
}

TEST_CASE("log format: a batch that grows too long ends behind a line")
{
    const Zone zone{"UTC"};
    LineFormat hours{dated("HH")};
    std::string out{hours.head(kMoment)};
    CHECK(hours.append(out, "1\n2\n3\n", kMoment, 10) == 4);
    CHECK(out == "00: 1\n00: 2\n");

    LineFormat lines{objects()};
    out.clear();
    CHECK(lines.append(out, "1\n2\n3\n", kMoment, 10) == 2);
    CHECK(out.ends_with("}\n"));
}

TEST_CASE("log format: the date of a batch is formed anew when it is another one")
{
    const Zone zone{"UTC"};
    LineFormat seconds{dated("ss")};
    CHECK(seconds.head(kMoment) == "09: ");
    CHECK(seconds.head(kMoment + 1000) == "10: ");
    LineFormat milliseconds{dated("SSS")};
    CHECK(milliseconds.head(kMoment) == "047: ");
    CHECK(milliseconds.head(kMoment + 1) == "048: ");
}
