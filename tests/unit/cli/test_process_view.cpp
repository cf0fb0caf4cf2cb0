#include "cli/process_view.hpp"

#include "cli/describe_view.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

using namespace cluster::cli;

namespace {

constexpr std::int64_t kNow = 1'790'000'000'000;

json process(int id, const char* name, const char* status = "online")
{
    const bool runs = std::string{status} == "online";
    return {{"id", id},
            {"name", name},
            {"namespace", "default"},
            {"mode", "fork"},
            {"pid", runs ? 4250 + id : 0},
            {"status", status},
            {"restarts", 2},
            {"unstable_restarts", 0},
            {"started_at", kNow - 5000 * (id + 1)},
            {"created_at", kNow - 60'000},
            {"cpu", runs ? 0.34 : 0.0},
            {"memory", runs ? 52'219'084 : 0},
            {"user", "u"},
            {"watching", false}};
}

std::string ids(const json& processes)
{
    std::string text;
    for (const json& one : processes)
        text += one["id"].dump();
    return text;
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

TEST_CASE("process table: PM2's columns and figures")
{
    const json processes = json::array({process(0, "api"), process(1, "job", "stopped")});
    CHECK(process_table(processes, kNow, {.utf8 = true}) ==
          "┌────┬──────┬─────────────┬─────────┬─────────┬──────────┬────────┬──────┬───────────┬"
          "──────────┬──────────┬──────────┬──────────┐\n"
          "│ id │ name │ namespace   │ version │ mode    │ pid      │ uptime │ ↺    │ status    │"
          " cpu      │ mem      │ user     │ watching │\n"
          "├────┼──────┼─────────────┼─────────┼─────────┼──────────┼────────┼──────┼───────────┼"
          "──────────┼──────────┼──────────┼──────────┤\n"
          "│ 0  │ api  │ default     │ N/A     │ fork    │ 4250     │ 5s     │ 2    │ online    │"
          " 0.3%     │ 49.8mb   │ u        │ disabled │\n"
          "│ 1  │ job  │ default     │ N/A     │ fork    │ 0        │ 0      │ 2    │ stopped   │"
          " 0%       │ 0b       │ u        │ disabled │\n"
          "└────┴──────┴─────────────┴─────────┴─────────┴──────────┴────────┴──────┴───────────┴"
          "──────────┴──────────┴──────────┴──────────┘\n");
}

TEST_CASE("process table: the layout follows the width of the terminal")
{
    const json processes = json::array({process(0, "an-app-with-a-name")});
    const struct {
        std::size_t width;
        const char* has;
        const char* lacks;
    } rows[] = {
        {0, "namespace", "memory"},   // a pipe
        {160, "namespace", "memory"}, // full
        {90, "memory", "namespace"},  // condensed
        {50, "mem", "mode"},          // mini
    };
    for (const auto& row : rows) {
        CAPTURE(row.width);
        const std::string text = process_table(processes, kNow, {.width = row.width});
        CHECK(text.find(row.has) != std::string::npos);
        CHECK(text.find(row.lacks) == std::string::npos);
    }
}

TEST_CASE("process table: never wraps, whatever the width")
{
    const json processes =
        json::array({process(0, "日本語の長い名前のアプリケーション-with-more-behind-it"),
                     process(123456, "b")});
    for (std::size_t width = 10; width <= 200; ++width) {
        CAPTURE(width);
        CHECK(widest_line(process_table(processes, kNow, {.utf8 = true, .width = width})) <= width);
    }
}

TEST_CASE("process table: a name cannot move the cursor")
{
    const json processes = json::array({process(0, "x\x1b[2J\ny")});
    CHECK(process_table(processes, kNow, {}).find("| x\\x1b[2J\\ny |") != std::string::npos);
}

TEST_CASE("process table: what the daemon leaves out is no failure")
{
    CHECK(process_table(json::array({json::object()}), kNow, {}).find("| N/A ") !=
          std::string::npos);
}

TEST_CASE("sort: by each field, upwards and downwards")
{
    json first = process(0, "b"), second = process(1, "a", "stopped"), third = process(2, "b");
    first["memory"] = 10;
    third["memory"] = 5;
    third["cpu"] = 7.5;
    third["namespace"] = "apps";
    const json processes = json::array({third, second, first});
    const struct {
        const char* order;
        const char* want;
    } rows[] = {
        {"name", "102"},      {"name:desc", "021"}, {"id", "012"},       {"id:desc", "210"},
        {"memory", "120"},    {"cpu:desc", "201"},  {"uptime", "102"},   {"uptime:desc", "201"},
        {"namespace", "210"}, {"status", "021"},    {"pid:desc", "201"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.order);
        json sorted = processes;
        const auto order = parse_sort(row.order);
        REQUIRE(order);
        sort_processes(sorted, *order);
        CHECK(ids(sorted) == row.want);
    }
}

TEST_CASE("sort: an unknown field or direction is refused with what exists")
{
    CHECK(parse_sort("size").error() == "--sort must name one of name, namespace, pid, id, cpu, "
                                        "memory, uptime, status, got 'size'");
    CHECK(parse_sort("cpu:up").error() == "--sort cpu may end in ':asc' or ':desc', got ':up'");
}

TEST_CASE("mini list: a block per process")
{
    json one = process(3, "api");
    one["error_file"] = "/l/api-error.log";
    one["pid_file"] = "/p/api-3.pid";
    CHECK(process_mini_list(json::array({one}), kNow, {}) == "+--- api\n"
                                                             "namespace : default\n"
                                                             "version : N/A\n"
                                                             "pid : 4253\n"
                                                             "id : 3\n"
                                                             "status : online\n"
                                                             "mode : fork\n"
                                                             "restarted : 2\n"
                                                             "uptime : 20s\n"
                                                             "memory usage : 49.8mb\n"
                                                             "error log : /l/api-error.log\n"
                                                             "watching : no\n"
                                                             "PID file : /p/api-3.pid\n\n");
}

TEST_CASE("describe: rows with values, last exits, and the environment that differs")
{
    json one = process(0, "api");
    one["script"] = "/srv/api.js";
    one["args"] = {"--port", "3000"};
    one["kill_signal"] = 2;
    one["kill_timeout_ms"] = 5000;
    one["max_memory_restart"] = 314'572'800;
    one["health"] = "failing (2 of 3): GET /health answered 503";
    one["waits_for"] = "waits for db (ready)";
    one["fault"] = "";
    one["env_declared"] = {{"SAME", "1"}, {"OTHER", "2"}, {"NEW", "3"}};
    one["last_exits"] = json::array({{{"at", kNow},
                                      {"code", 3},
                                      {"signal", nullptr},
                                      {"reason", "exited with code 3 after 40 ms"},
                                      {"uptime_ms", 40},
                                      {"stderr", {"oh\x1b[2J", "no"}}}});
    const std::string text = describe_text(one, kNow, {{"SAME", "1"}, {"OTHER", "different"}}, {});
    for (const char* row : {
             "| script path        | /srv/api.js ",
             "| script args        | --port 3000 ",
             "| kill signal        | SIGINT ",
             "| kill timeout       | 5 s ",
             "| max memory restart | 300.0mb ",
             "| health             | failing (2 of 3): GET /health answered 503 ",
             "| held back          | waits for db (ready) ",
             "| uptime             | 5s ",
             "2026-09-21T14:13:20.000Z  exited with code 3 after 40 ms",
             "    oh\\x1b[2J\n    no\n",
             "| OTHER | 2 ",
             "| NEW   | 3 ",
         }) {
        CAPTURE(row);
        CHECK(text.find(row) != std::string::npos);
    }
    CHECK(text.find("SAME") == std::string::npos);
    CHECK(text.find("pid path") == std::string::npos); // the daemon gave none
    CHECK(text.find("| fault") == std::string::npos);
}
