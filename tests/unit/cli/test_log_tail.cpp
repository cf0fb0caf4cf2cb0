#include "cli/log_tail.hpp"
#include "cli/log_view.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace cluster;
using Lines = std::vector<std::string>;

namespace {

/// A file that is gone with the test.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& content)
    {
        std::string name = std::filesystem::temp_directory_path() / "cluster-tail-XXXXXX";
        ::close(::mkstemp(name.data()));
        path_ = name;
        std::ofstream{path_} << content;
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

Lines tail(const std::string& content, std::size_t count)
{
    ipc::LinuxSystem system;
    const TemporaryFile file{content};
    const auto lines = cli::last_lines(system, file.path(), count);
    REQUIRE(lines);
    return *lines;
}

} // namespace

TEST_CASE("log tail: the last lines, oldest first")
{
    const struct {
        const char* content;
        std::size_t count;
        Lines want;
    } rows[] = {
        {"", 3, {}},
        {"a\nb\nc\n", 2, {"b", "c"}},
        {"a\nb\nc\n", 3, {"a", "b", "c"}},
        {"a\nb\nc\n", 9, {"a", "b", "c"}},
        {"a\nb\nc", 2, {"b", "c"}}, // a line that is still being written
        {"a\n\n\n", 2, {"", ""}},
        {"a\n", 0, {}},
        {"\n", 1, {""}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.content);
        CAPTURE(row.count);
        CHECK(tail(row.content, row.count) == row.want);
    }
}

TEST_CASE("log tail: lines that begin in an earlier block are whole")
{
    const std::string block(64UL * 1024, 'x');
    CHECK(tail("first\n" + block + "\nlast\n", 2) == Lines{block, "last"});
    CHECK(tail("first\n" + block + block + "\n", 2) == Lines{"first", block + block});
    std::string many;
    for (int i = 0; i < 100'000; ++i)
        many += std::to_string(i) + '\n';
    CHECK(tail(many, 20'000).front() == "80000");
}

TEST_CASE("log tail: what was shown is not shown again")
{
    const struct {
        const char* name;
        Lines read;
        Lines shown;
        Lines want;
    } rows[] = {
        {"nothing was shown", {"a", "b"}, {}, {"a", "b"}},
        {"all was shown", {"a", "b"}, {"a", "b"}, {}},
        {"some came since", {"a", "b", "c"}, {"a", "b"}, {"c"}},
        {"more was read than is remembered", {"a", "b", "c", "d"}, {"b", "c"}, {"d"}},
        {"it begins in the midst of what was shown", {"b", "c"}, {"a", "b"}, {"c"}},
        {"the last place counts", {"x", "y", "x", "z"}, {"x"}, {"z"}},
        {"a file that was emptied", {"n"}, {"a", "b"}, {"n"}},
        {"an empty file", {}, {"a"}, {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(cli::lines_behind(row.read, row.shown) == row.want);
    }
}

TEST_CASE("log tail: a file that is not there has no lines, another failure is told")
{
    ipc::LinuxSystem system;
    const auto missing = cli::last_lines(system, "/nonexistent/app.log", 5);
    REQUIRE(missing);
    CHECK(missing->empty());
    const auto bad = cli::last_lines(system, "/proc/self/exe/app.log", 5);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().text().find("/proc/self/exe/app.log") != std::string::npos);
}

TEST_CASE("log tail: lines that the file held already are known")
{
    const struct {
        Lines history;
        Lines live;
        std::size_t want;
    } rows[] = {
        {{"a", "b"}, {"c"}, 0},
        {{"a", "b"}, {"b", "c"}, 1},
        {{"a", "b"}, {"a", "b", "c"}, 2},
        {{"b"}, {"a", "b", "c"}, 2}, // more arrived than the history shows
        {{"x", "b"}, {"a", "b", "c"}, 0},
        {{"a"}, {}, 0},
        {{}, {"a"}, 0},
        {{"x", "half", "b"}, {"lf", "b", "c"}, 2}, // it came in the midst of a line
        {{"x", "b"}, {"b", "x"}, 1},
    };
    for (const auto& row : rows)
        CHECK(cli::overlap(row.history, row.live) == row.want);
}

TEST_CASE("log lines: prefix, raw and JSON")
{
    const cli::LogLine line{3, "api", true, 1'790'000'000'000, "boom \x1b[2J"};
    CHECK(cli::log_line(line, cli::LogFormat::prefixed, 5, {}) == "3|api   | boom \x1b[2J\n");
    CHECK(cli::log_line(line, cli::LogFormat::prefixed, 5, {.width = 80}) ==
          "3|api   | boom \\x1b[2J\n");
    CHECK(cli::log_line(line, cli::LogFormat::prefixed, 5, {.colour = true, .width = 80}) ==
          "\x1b[31m3|api   | \x1b[0mboom \\x1b[2J\n");
    CHECK(cli::log_line(line, cli::LogFormat::raw, 5, {.width = 80}) == "boom \x1b[2J\n");
    CHECK(cli::log_line(line, cli::LogFormat::json, 5, {}) ==
          R"({"message":"boom \u001b[2J","timestamp":"2026-09-21T14:13:20.000Z","type":"err",)"
          R"("process_id":3,"app_name":"api"})"
          "\n");
    CHECK(cli::log_line({0, "a", false, 0, "\xff"}, cli::LogFormat::json, 5, {}) ==
          "{\"message\":\"\xef\xbf\xbd\",\"timestamp\":null,\"type\":\"out\",\"process_id\":0,"
          "\"app_name\":\"a\"}\n");
}

TEST_CASE("log tail: lines behind what is known, all of them when the file has become shorter")
{
    const struct {
        const char* content;
        off_t at;
        Lines want;
    } rows[] = {
        {"a\nb\nc\n", 2, {"b", "c"}},      {"a\nb\n", 4, {}},
        {"a\nb\n", 0, {"a", "b"}},         {"new\n", 100, {"new"}},
        {"a\nb\nunended", 4, {"unended"}},
    };
    ipc::LinuxSystem system;
    for (const auto& row : rows) {
        CAPTURE(row.content);
        const TemporaryFile file{row.content};
        const auto lines = cli::lines_after(system, file.path(), row.at);
        REQUIRE(lines);
        CHECK(*lines == row.want);
        CHECK(cli::log_size(system, file.path()) ==
              static_cast<off_t>(std::string{row.content}.size()));
    }
}

TEST_CASE("log tail: a file that is not there has no size and no lines")
{
    ipc::LinuxSystem system;
    CHECK(cli::log_size(system, "/nonexistent/file") == 0);
    const auto lines = cli::lines_after(system, "/nonexistent/file", 5);
    REQUIRE(lines);
    CHECK(lines->empty());
}
