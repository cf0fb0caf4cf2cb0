#include "cli/log_view.hpp"
#include "cli/log_writers.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::cli;
using cluster::ipc::json;

namespace {

constexpr std::int64_t kAt = 1'790'000'000'250; // 2026-09-21 14:13:20.250 UTC

std::string shown(LogLook look, const LogLine& line, const Style& style = {})
{
    std::string out;
    LogLines{std::move(look), style}.append(line, out);
    return out;
}

LogLook form(LogFormat format, std::optional<std::string> timestamp = {})
{
    return {.format = format, .timestamp = std::move(timestamp), .highlight = {}};
}

} // namespace

TEST_CASE("log lines: each form, with and without a time")
{
    const LogLine line{3, "api", true, kAt, "a\tb \"c\""};
    const LogLine old{3, "api", false, 0, "x"};
    // Times without hours: the zone of this machine does not matter.
    const struct {
        LogLook look;
        const char* want;
        const char* want_old;
    } rows[] = {
        {form(LogFormat::prefixed), "3|api        | a\tb \"c\"\n", "3|api        | x\n"},
        {form(LogFormat::prefixed, "ss.SSS"), "20.250 3|api        | a\tb \"c\"\n",
         "- 3|api        | x\n"},
        {form(LogFormat::raw), "a\tb \"c\"\n", "x\n"},
        {form(LogFormat::raw, "ss"), "20 a\tb \"c\"\n", "- x\n"},
        {form(LogFormat::keyed, "ss"), "timestamp=20 app=api id=3 type=error message=a\tb \"c\"\n",
         "timestamp=- app=api id=3 type=out message=x\n"},
        {form(LogFormat::json),
         R"({"message":"a\tb \"c\"","timestamp":"2026-09-21T14:13:20.250Z","type":"err",)"
         R"("process_id":3,"app_name":"api"})"
         "\n",
         R"({"message":"x","timestamp":null,"type":"out","process_id":3,"app_name":"api"})"
         "\n"},
        {form(LogFormat::json, "ss"),
         R"({"message":"a\tb \"c\"","timestamp":"20","type":"err","process_id":3,"app_name":"api"})"
         "\n",
         R"({"message":"x","timestamp":null,"type":"out","process_id":3,"app_name":"api"})"
         "\n"},
    };
    for (const auto& row : rows) {
        CHECK(shown(row.look, line) == row.want);
        CHECK(shown(row.look, old) == row.want_old);
    }
}

TEST_CASE("log lines: JSON stays JSON whatever the bytes are")
{
    for (const char* text : {"", "\\", "\"", "\x01\x1b[0m", "\xff\xfe", "\xc3\xa9", "a\x7f"}) {
        const std::string out = shown(form(LogFormat::json), {0, "a", false, kAt, text});
        const json parsed = json::parse(out, nullptr, false);
        CAPTURE(out);
        REQUIRE(parsed.is_object());
        if (std::string_view{text} != "\xff\xfe") CHECK(parsed["message"] == text);
    }
}

TEST_CASE("log lines: names are padded to the longest, and apps have colours in turn")
{
    const Style terminal{.colour = true, .utf8 = true, .width = 80};
    LogLines lines{form(LogFormat::prefixed), terminal};
    std::string out;
    lines.append({0, "a", false, 0, "x"}, out);
    lines.append({1, "b", false, 0, "x"}, out);
    lines.widen("a name of 20 columns");
    lines.append({0, "a", true, 0, "x"}, out);
    CHECK(out == "\x1b[32m0|a          \x1b[0m\x1b[32m| \x1b[0mx\n"
                 "\x1b[36m1|b          \x1b[0m\x1b[32m| \x1b[0mx\n"
                 "\x1b[32m0|a                    \x1b[0m\x1b[31m| \x1b[0mx\n");
}

TEST_CASE("log lines: what is highlighted is inverse, on a terminal with colours")
{
    const LogLook look{.format = LogFormat::raw, .timestamp = {}, .highlight = "no"};
    LogLook prefixed = look;
    prefixed.format = LogFormat::prefixed;
    const LogLine line{0, "a", false, 0, "no, not \x1b[2J"};
    const Style colours{.colour = true, .width = 80};
    CHECK(
        shown(prefixed, line, colours).ends_with("\x1b[7mno\x1b[0m, \x1b[7mno\x1b[0mt \\x1b[2J\n"));
    CHECK(shown(prefixed, line, {.width = 80}).ends_with("| no, not \\x1b[2J\n"));
    CHECK(shown(prefixed, line) == "0|a          | no, not \x1b[2J\n");
    CHECK(shown(look, line, colours) == "no, not \x1b[2J\n");
}

TEST_CASE("written logs: each file once, with all that write it; a combined one only alone")
{
    const json processes = json::parse(R"([
        {"id": 0, "name": "api", "out_file": "/l/api.log", "error_file": "/l/api-e.log",
         "log_file": "/l/all.log"},
        {"id": 1, "name": "api", "out_file": "/l/api.log", "error_file": "/l/api-e.log"},
        {"id": 2, "name": "both", "out_file": "/l/both.log", "error_file": "/l/both.log"},
        {"id": 3, "name": "none", "out_file": "/dev/null", "error_file": "/dev/null"},
        {"id": 4, "name": "combined", "out_file": "/dev/null", "error_file": "/dev/null",
         "log_file": "/l/combined.log"},
        {"id": 5, "name": "odd"}
    ])");
    const auto both = written_logs(processes, true, true);
    REQUIRE(both.size() == 4);
    CHECK(both[0].path == "/l/api.log");
    CHECK(both[0].writers == std::vector<LogWriter>{{0, false}, {1, false}});
    CHECK(both[1].writers == std::vector<LogWriter>{{0, true}, {1, true}});
    CHECK(both[2].writers == std::vector<LogWriter>{{2, false}, {2, true}});
    CHECK(both[3].path == "/l/combined.log");
    CHECK(both[3].name == "combined");
    const auto errors = written_logs(processes, false, true);
    REQUIRE(errors.size() == 2);
    CHECK(errors[0].path == "/l/api-e.log");
    CHECK(errors[1].writers == std::vector<LogWriter>{{2, true}});
}
