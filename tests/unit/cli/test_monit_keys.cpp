#include "tests/unit/cli/monit_models.hpp"

#include "cli/monit_layout.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace cluster::cli;
using namespace cluster::cli::test;
using Kind = MonitIntent::Kind;

namespace {

std::vector<std::int64_t> shown_ids(const MonitModel& model)
{
    std::vector<std::int64_t> ids;
    for (const std::size_t at : visible_rows(model))
        ids.push_back(model.rows[at].id);
    return ids;
}

using Ids = std::vector<std::int64_t>;

} // namespace

TEST_CASE("monit keys: selection moves and stops at both ends")
{
    MonitModel model = four();
    CHECK(model.selected == 0);
    press_key(model, KeyName::up);
    CHECK(model.selected == 0);
    type(model, "jj");
    CHECK(model.selected == 2);
    press_key(model, KeyName::end);
    CHECK(model.selected == 3);
    press_key(model, KeyName::down);
    CHECK(model.selected == 3);
    press_key(model, KeyName::home);
    CHECK(model.selected == 0);
}

TEST_CASE("monit keys: in a long list the selected row is always to be seen")
{
    json many = json::array();
    for (int id = 0; id < 100; ++id)
        many.push_back(process(id, "app" + std::to_string(id)));
    MonitModel model = model_of(many);
    for (const Size size : {kUsual, Size{40, 10}, kWide}) {
        for (const KeyName key : {KeyName::page_down, KeyName::down, KeyName::end, KeyName::up,
                                  KeyName::page_up, KeyName::home}) {
            press_key(model, key, size);
            CHECK(screen(model, size).find(" app" + std::to_string(*model.selected) + " ") !=
                  std::string::npos);
        }
    }
}

TEST_CASE("monit keys: requests name the one process that is selected")
{
    MonitModel model = four();
    type(model, "j");
    MonitIntent intent = type(model, "r");
    CHECK(intent.kind == Kind::request);
    CHECK(intent.method == "restart");
    CHECK(intent.params == json{{"targets", {"1"}}});
    CHECK(intent.doing == "restart api (1)");
    CHECK(type(model, "R").method == "reload");
    intent = type(model, "+");
    CHECK(intent.method == "scale");
    CHECK(intent.params == json{{"name", "api"}, {"instances", "+1"}});
}

TEST_CASE("monit keys: what stops something asks first, and only y means yes")
{
    MonitModel model = four();
    CHECK(type(model, "s").kind == Kind::nothing);
    CHECK(screen(model).find("stop api (0)? y/n") != std::string::npos);
    CHECK(press(model, {.name = KeyName::wheel_up, .x = 1, .y = 2}, kUsual).kind == Kind::nothing);
    const MonitIntent intent = type(model, "y");
    CHECK(intent.method == "stop");
    CHECK(intent.params == json{{"targets", {"0"}}});
    for (const char* no : {"sn", "s\x1b", "s\n", "sq"}) {
        CAPTURE(no);
        CHECK(type(model, no).kind == Kind::nothing);
        CHECK(model.prompt == MonitPrompt::none);
    }
    CHECK(type(model, "-y").params == json{{"name", "api"}, {"instances", "-1"}});
    press_key(model, KeyName::end);
    CHECK(type(model, "-").kind == Kind::nothing); // the only one of mail
    CHECK(model.prompt == MonitPrompt::none);
}

TEST_CASE("monit keys: S starts what does not run, and nothing else")
{
    MonitModel model = four();
    CHECK(type(model, "S").kind == Kind::nothing);
    CHECK(model.note.text == "api (0) runs; r restarts it");
    type(model, "jj");
    const MonitIntent intent = type(model, "S");
    CHECK(intent.method == "restart");
    CHECK(intent.doing == "start job (2)");
}

TEST_CASE("monit keys: a name that is a number could mean another process, so nothing is asked")
{
    MonitModel model = model_of(json::array({process(0, "api"), process(1, "0")}));
    CHECK(type(model, "r").kind == Kind::nothing);
    CHECK(model.note.text.find("a name or namespace is 0 too") != std::string::npos);
    press_key(model, KeyName::down);
    CHECK(type(model, "r").params == json{{"targets", {"1"}}});
}

TEST_CASE("monit keys: o sorts by each column in turn, O reverses")
{
    MonitModel model = four();
    const Ids orders[] = {{0, 1, 2, 3}, {3, 1, 0, 2}, {0, 1, 3, 2}, {2, 1, 0, 3}, {3, 1, 0, 2}};
    for (const Ids& order : orders) {
        type(model, "o");
        CAPTURE(name_of(model.sort));
        CHECK(shown_ids(model) == order);
    }
    type(model, "O");
    CHECK(shown_ids(model) == Ids{2, 0, 1, 3});
    CHECK(screen(model).find("sort uptime reversed") != std::string::npos);
    type(model, "Oo");
    CHECK(model.sort == MonitSort::id);
    CHECK(model.selected == 0); // the selection stays with its process
}

TEST_CASE("monit keys: the filter works while it is typed")
{
    MonitModel model = four();
    type(model, "fMA");
    CHECK(shown_ids(model) == Ids{3});
    CHECK(model.selected == 3);
    type(model, "\bx");
    CHECK(shown_ids(model).empty());
    CHECK(model.selected == std::nullopt);
    CHECK(type(model, "\b\b\bstop\n").kind == Kind::nothing); // a status is found too
    CHECK(shown_ids(model) == Ids{2});
    CHECK(screen(model).find("filter stop") != std::string::npos);
    type(model, "\x1b");
    CHECK(shown_ids(model).size() == 4);
    CHECK(type(model, "fü\b\b\n").kind == Kind::nothing);
}

TEST_CASE("monit keys: search in the logs, n and N")
{
    MonitModel model = four();
    for (int at = 1; at <= 40; ++at)
        model.log.add("line " + std::to_string(at), false, true);
    type(model, "/line 3\n");
    CHECK(screen(model).find("/line 3: 1 of 11") != std::string::npos);
    type(model, "nnN");
    CHECK(screen(model).find("/line 3: 2 of 11") != std::string::npos);
    type(model, "\x1b");
    CHECK(screen(model).find("/line 3") == std::string::npos);
}

TEST_CASE("monit keys: Tab goes around the panes that are shown, and arrows act there")
{
    MonitModel model = four();
    for (int at = 1; at <= 40; ++at)
        model.log.add("line " + std::to_string(at), false, true);
    type(model, "\t");
    CHECK(model.focus == MonitPane::detail);
    type(model, "\t");
    CHECK(model.focus == MonitPane::logs);
    press_key(model, KeyName::up);
    CHECK(model.log.scrolled() == 1);
    CHECK(model.selected == 0);
    type(model, "G\t");
    CHECK(model.log.scrolled() == 0);
    CHECK(model.focus == MonitPane::list);
    type(model, "\t", {40, 10}); // no detail there
    CHECK(model.focus == MonitPane::logs);
}

TEST_CASE("monit keys: Esc closes what is open, then quits; q and help")
{
    MonitModel model = four();
    type(model, "l");
    CHECK(layout_of(model, kUsual).list.height == 0);
    CHECK(type(model, "\x1b").kind == Kind::nothing);
    CHECK(layout_of(model, kUsual).list.height > 0);
    type(model, "?");
    CHECK(screen(model).find("restart the selected process") != std::string::npos);
    CHECK(screen(model, {40, 10}).find("quit") == std::string::npos);
    for (int at = 0; at < 20; ++at)
        press_key(model, KeyName::down, {40, 10});
    CHECK(screen(model, {40, 10}).find("q, Ctrl-C") != std::string::npos);
    CHECK(type(model, "q").kind == Kind::nothing); // closes the help
    CHECK(type(model, "\x1b").kind == Kind::quit);
    CHECK(type(model, "q").kind == Kind::quit);
}

TEST_CASE("monit keys: a click selects, the wheel scrolls the pane below it")
{
    MonitModel model = four();
    const MonitLayout layout = layout_of(model, kUsual);
    (void)press(model, {.name = KeyName::click, .x = 5, .y = layout.list.y + 3}, kUsual);
    CHECK(model.selected == 2);
    (void)press(model, {.name = KeyName::click, .x = 5, .y = layout.list.y}, kUsual); // the heading
    CHECK(model.selected == 2);
    for (int at = 1; at <= 40; ++at)
        model.log.add("line " + std::to_string(at), false, true);
    (void)press(model, {.name = KeyName::wheel_up, .x = 5, .y = layout.logs.y + 2}, kUsual);
    CHECK(model.log.scrolled() == 3);
    CHECK(model.focus == MonitPane::list);
    (void)press(model, {.name = KeyName::click, .x = 5, .y = layout.logs.y + 2}, kUsual);
    CHECK(model.focus == MonitPane::logs);
    (void)press(model, {.name = KeyName::click, .x = 5, .y = 23}, kUsual); // the last line
    CHECK(model.focus == MonitPane::logs);
}

TEST_CASE("monit: what is gone is selected no more, and a new process appears")
{
    MonitModel model = four();
    press_key(model, KeyName::end);
    take_list(model, json::array({process(0, "api"), process(1, "api")}), true);
    CHECK(model.selected == 0);
    CHECK(model.history.size() == 2);
    CHECK(model.history[0].cpu.size() == 2);
    take_process(model, process(7, "new"), false);
    CHECK(shown_ids(model) == Ids{0, 1, 7});
    take_process(model, process(0, "api", "errored"), false);
    CHECK(selected_row(model)->status == "errored");
    for (int at = 0; at < 1000; ++at)
        take_list(model, json::array({process(0, "api")}), true);
    CHECK(model.history[0].memory.size() == 512);
}
