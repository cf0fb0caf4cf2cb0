#include "tests/unit/cli/monit_models.hpp"

#include "cli/monit_layout.hpp"

#include <doctest/doctest.h>

using namespace cluster::cli;
using namespace cluster::cli::test;

namespace {

bool has(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

json described()
{
    json process_of = process(0, "api");
    process_of.update(json{
        {"script", "/srv/api.js"},
        {"args", {"--port", "80"}},
        {"interpreter", "/usr/bin/node"},
        {"mode", "cluster"},
        {"addresses", {"127.0.0.1:8080"}},
        {"children", {77, 78}},
        {"max_memory_restart", 1'073'741'824},
        {"limits",
         {{"pids_max", {{"value", 10}, {"by", "cgroup v2"}}}, {"events", {{"refused_forks", 0}}}}},
        {"health", "failing (1 of 3): GET / answered 503"},
        {"last_exits",
         {{{"at", kNow},
           {"code", 1},
           {"reason", "exited with code 1 after 40 ms"},
           {"stderr", {"first", "Error: \x1b[2Jno port"}}}}}});
    return process_of;
}

} // namespace

TEST_CASE("monit: the screen at 80x24")
{
    MonitModel model = four();
    model.log.add("hello", false, true);
    settle(model, kUsual);
    const std::string text = screen(model);
    CHECK(has(text, " clusterctl  4 processes, 3 online  cpu 6.0%  mem 146.0mb"));
    CHECK(
        has(text,
            "   id name                 status          ready    cpu      mem restarts uptime\n"));
    CHECK(
        has(text,
            "    0 api                  online          yes     0.0%   50.0mb        0     1m\n"));
    CHECK(
        has(text,
            "    2 job                  stopped         -       0.0%       0b        2      0\n"));
    CHECK(has(text, "── api (0) ─"));
    CHECK(has(text, "── logs of api (0) ─"));
    CHECK(has(text, "\nhello\n"));
    CHECK(has(text, " ? help  q quit"));
}

TEST_CASE("monit: every line of every size is as wide as the screen")
{
    MonitModel model = four();
    model.detail = described();
    for (int at = 0; at < 50; ++at)
        model.log.add(std::string(static_cast<std::size_t>(at * 5), 'x') + "漢字", at % 2 == 0,
                      true);
    for (const bool full : {false, true}) {
        for (const Size size : {Size{1, 1}, Size{39, 24}, Size{40, 10}, Size{41, 11}, Size{60, 17},
                                Size{66, 18}, Size{72, 19}, kUsual, Size{119, 40}, Size{120, 17},
                                Size{120, 18}, kWide, Size{500, 200}}) {
            CAPTURE(size.width);
            CAPTURE(size.height);
            model.logs_full = full;
            settle(model, size);
            for (model.help = false;; model.help = true) {
                const Frame frame = draw_monit(model, size);
                REQUIRE(frame.lines.size() == static_cast<std::size_t>(size.height));
                for (const Line& line : frame.lines)
                    CHECK(width_of(line) == size.width);
                if (model.help) break;
            }
        }
    }
}

TEST_CASE("monit: panes cover the screen and never each other")
{
    MonitModel model = four();
    for (const Size size : {Size{40, 10}, kUsual, Size{119, 50}, Size{120, 18}, kWide}) {
        CAPTURE(size.width);
        const MonitLayout layout = layout_of(model, size);
        int cells = 0;
        for (const Rect& pane :
             {layout.title, layout.list, layout.detail, layout.logs, layout.status})
            cells += pane.width * pane.height;
        const bool wide = size.width >= 120; // a column between list and detail is left free
        CHECK(cells == size.width * size.height - (wide ? layout.list.height : 0));
    }
    CHECK(layout_of(model, {40, 10}).detail.height == 0);
    CHECK(layout_of(model, {39, 10}).too_small);
    CHECK(has(screen(model, {39, 10}), "39x10 is too small"));
}

TEST_CASE("monit: a wide screen shows all about the selected process")
{
    MonitModel model = four();
    model.detail = described();
    settle(model, kWide);
    const std::string text = screen(model, kWide);
    for (const char* part :
         {"/srv/api.js, --port 80", "pid       4250, with 77 78", "exited with code 1 after 40 ms",
          "max_memory_restart 1.0gb, pids_max 10 (cgroup v2)", "127.0.0.1:8080",
          "failing (1 of 3): GET / answered 503", "cpu 0.0%  peak 0.0%",
          "mem 50.0mb  peak 50.0mb"}) {
        CAPTURE(part);
        CHECK(has(text, part));
    }
    CHECK_FALSE(has(text, "\x1b"));
}

TEST_CASE("monit: what is known of another process is not shown as of this one")
{
    MonitModel model = four();
    model.detail = described();
    press_key(model, KeyName::down);
    CHECK_FALSE(has(screen(model, kWide), "/srv/api.js"));
}

TEST_CASE("monit: names and logs cannot move the cursor, and plain ASCII stays so")
{
    MonitModel model = model_of(json::array({process(0, "e\x1b[2Jvil\nü")}));
    model.log.add("\x1b]0;title\x07 ü", false, true);
    settle(model, kUsual);
    CHECK(has(screen(model), "e\\x1b[2Jvil\\nü"));
    CHECK(has(screen(model), "\\x1b]0;title\\x07 ü"));
    model.utf8 = false;
    model.log.clear();
    for (const char c : screen(model))
        CHECK(static_cast<unsigned char>(c) < 0x80);
    CHECK(has(screen(model), "-- logs of e\\x1b[2Jvil\\n? (0) -"));
}

TEST_CASE("monit: a connection that is lost is told, and what was known stays")
{
    MonitModel model = four();
    model.connected = false;
    model.link_text = "no connection to the daemon (gone); trying again";
    CHECK(has(screen(model), " no connection to the daemon (gone); trying again\n"));
    CHECK(has(screen(model), " api  "));
}

TEST_CASE("monit: an empty list says so")
{
    CHECK(has(screen(model_of(json::array())), "no processes"));
    CHECK(has(screen(model_of(json::array()), {40, 10}), "no processes"));
    MonitModel model = four();
    model.filter = "absent";
    settle(model, kUsual);
    CHECK(has(screen(model), "the filter lets none of them through"));
}

TEST_CASE("monit: a daemon that does not know readiness has it by the status")
{
    json old = process(0, "api");
    old.erase("ready");
    CHECK(has(screen(model_of(json::array({old}))), "online          yes"));
    json ill = process(0, "api");
    ill["ready"] = false;
    CHECK(has(screen(model_of(json::array({ill}))), "online          no "));
}
