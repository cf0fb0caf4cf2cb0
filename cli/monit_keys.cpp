#include "cli/monit_keys.hpp"

#include "cli/monit_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

using Kind = MonitIntent::Kind;

constexpr int kWheelLines = 3;
constexpr int kSorts = 6;

// clang-format off
constexpr struct { std::string_view keys, what; } kHelp[] = {
    {"up/down, j/k",     "select a process; scroll in the other panes"},
    {"PgUp/PgDn",        "the same by pages"},
    {"Home/End, g/G",    "to the first, to the last"},
    {"Tab",              "to the next pane"},
    {"l",                "logs on the whole screen, and back"},
    {"/, then n and N",  "search in the logs; older and newer matches"},
    {"f",                "filter the list by name, namespace or status"},
    {"o, O",             "sort by the next column; reverse the order"},
    {"r",                "restart the selected process"},
    {"R",                "reload it without losing a request"},
    {"s",                "stop it (asks first)"},
    {"S",                "start it"},
    {"+, -",             "one instance of its app more, or fewer (asks first)"},
    {"Esc",              "close help, full screen, search, filter; then quit"},
    {"?, h",             "this help"},
    {"q, Ctrl-C",        "quit"},
};
// clang-format on

MonitIntent request(std::string method, json params, std::string doing)
{
    return {.kind = Kind::request,
            .method = std::move(method),
            .params = std::move(params),
            .doing = std::move(doing)};
}

MonitIntent refuse(MonitModel& model, std::string why)
{
    model.note = {std::move(why), Colour::yellow};
    return {};
}

/// Asks first: what it stops is in use.
MonitIntent confirm(MonitModel& model, MonitIntent intent)
{
    model.prompt = MonitPrompt::confirm;
    model.asking = std::move(intent);
    return {};
}

/// `method` on the selected process alone.
MonitIntent act(MonitModel& model, const char* method, std::string_view verb)
{
    const MonitRow* row = selected_row(model);
    if (row == nullptr) return refuse(model, "no process is selected");
    const auto target = target_of(model, *row);
    if (!target)
        return refuse(model, fmt::format("a name or namespace is {} too: use `clusterctl {}` with "
                                         "another target",
                                         row->id, verb));
    return request(method, {{"targets", json::array({*target})}},
                   fmt::format("{} {}", verb, title_of(*row, model.utf8)));
}

MonitIntent start(MonitModel& model)
{
    const MonitRow* row = selected_row(model);
    if (row != nullptr && row->pid > 0)
        return refuse(model, fmt::format("{} runs; r restarts it", title_of(*row, model.utf8)));
    return act(model, "restart", "start");
}

MonitIntent stop(MonitModel& model)
{
    MonitIntent intent = act(model, "stop", "stop");
    return intent.kind == Kind::request ? confirm(model, std::move(intent)) : intent;
}

MonitIntent scale(MonitModel& model, bool more)
{
    const MonitRow* row = selected_row(model);
    if (row == nullptr) return refuse(model, "no process is selected");
    const auto all = std::ranges::count(model.rows, row->name, &MonitRow::name);
    if (!more && all <= 1)
        return refuse(model, fmt::format("{} is the only instance of its app; s stops it",
                                         title_of(*row, model.utf8)));
    MonitIntent intent = request(
        "scale", {{"name", row->name}, {"instances", more ? "+1" : "-1"}},
        fmt::format("scale {} {} by one", printable(row->name, model.utf8), more ? "up" : "down"));
    return more ? intent : confirm(model, std::move(intent));
}

// Moving.

void select_by(MonitModel& model, int steps)
{
    const auto shown = visible_rows(model);
    if (shown.empty()) return;
    const auto at = std::ranges::find_if(
        shown, [&](std::size_t row) { return model.rows[row].id == model.selected; });
    const auto place = static_cast<int>(at - shown.begin()) + steps;
    const auto kept = std::clamp(place, 0, static_cast<int>(shown.size()) - 1);
    model.selected = model.rows[shown[static_cast<std::size_t>(kept)]].id;
}

/// Down is positive.
void move(MonitModel& model, MonitPane pane, int steps)
{
    switch (pane) {
    case MonitPane::list:
        return select_by(model, steps);
    case MonitPane::detail:
        model.detail_top = std::max(model.detail_top + steps, 0);
        return;
    case MonitPane::logs:
        return model.log.scroll(-steps);
    }
}

void move_to_end(MonitModel& model, bool last)
{
    constexpr int kFar = 1'000'000;
    if (model.focus == MonitPane::logs) return last ? model.log.to_newest() : model.log.to_oldest();
    move(model, model.focus, last ? kFar : -kFar);
}

int page_of(const MonitModel& model, const MonitLayout& layout)
{
    const Rect& pane = model.focus == MonitPane::list     ? layout.list
                       : model.focus == MonitPane::detail ? layout.detail
                                                          : layout.logs;
    return std::max(pane.height - 2, 1);
}

void next_pane(MonitModel& model, const MonitLayout& layout, bool forward)
{
    if (model.logs_full) return;
    std::vector<MonitPane> panes{MonitPane::list};
    if (layout.detail.height > 0) panes.push_back(MonitPane::detail);
    panes.push_back(MonitPane::logs);
    const auto at = static_cast<std::size_t>(std::ranges::find(panes, model.focus) - panes.begin());
    model.focus = panes[(at + (forward ? 1 : panes.size() - 1)) % panes.size()];
}

void toggle_full_logs(MonitModel& model)
{
    model.logs_full = !model.logs_full;
    model.focus = model.logs_full ? MonitPane::logs : MonitPane::list;
}

/// Closes what is open; true when nothing was.
bool close_something(MonitModel& model)
{
    if (model.logs_full)
        toggle_full_logs(model);
    else if (!model.log.searched().empty())
        model.log.search("");
    else if (!model.filter.empty())
        model.filter.clear();
    else
        return true;
    return false;
}

// The mouse.

bool is_mouse(const Key& key)
{
    return key.name == KeyName::click || key.name == KeyName::wheel_up ||
           key.name == KeyName::wheel_down;
}

std::optional<MonitPane> pane_at(const MonitLayout& layout, const Key& key)
{
    if (layout.list.holds(key.x, key.y)) return MonitPane::list;
    if (layout.detail.holds(key.x, key.y)) return MonitPane::detail;
    if (layout.logs.holds(key.x, key.y)) return MonitPane::logs;
    return std::nullopt;
}

void use_mouse(MonitModel& model, const Key& key, const MonitLayout& layout)
{
    const auto pane = pane_at(layout, key);
    if (!pane) return;
    if (key.name != KeyName::click)
        return move(model, *pane, key.name == KeyName::wheel_up ? -kWheelLines : kWheelLines);
    model.focus = *pane;
    if (*pane != MonitPane::list || key.y == layout.list.y) return;
    const auto shown = visible_rows(model);
    const int place = key.y - layout.list.y - 1 + model.list_top;
    if (place < std::ssize(shown))
        model.selected = model.rows[shown[static_cast<std::size_t>(place)]].id;
}

// Prompts.

void open_prompt(MonitModel& model, MonitPrompt prompt)
{
    model.prompt = prompt;
    model.typed = prompt == MonitPrompt::filter ? model.filter : "";
}

/// The filter works while it is typed.
void take_typed(MonitModel& model)
{
    if (model.prompt == MonitPrompt::filter) model.filter = model.typed;
}

void press_at_prompt(MonitModel& model, const Key& key)
{
    const MonitPrompt prompt = model.prompt;
    if (key.name == KeyName::enter) {
        model.prompt = MonitPrompt::none;
        if (prompt == MonitPrompt::search) model.log.search(model.typed);
    } else if (key.name == KeyName::escape) {
        model.typed.clear();
        take_typed(model);
        model.prompt = MonitPrompt::none;
    } else if (key.name == KeyName::backspace && !model.typed.empty()) {
        do {
            const bool inside = (static_cast<unsigned char>(model.typed.back()) & 0xC0U) == 0x80;
            model.typed.pop_back();
            if (!inside) break;
        } while (!model.typed.empty());
    } else if (key.name == KeyName::text) {
        model.typed += key.text;
    }
    if (model.prompt != MonitPrompt::none) take_typed(model);
}

/// Every key but y means no; the mouse says nothing.
MonitIntent press_at_question(MonitModel& model, const Key& key)
{
    if (is_mouse(key)) return {};
    model.prompt = MonitPrompt::none;
    MonitIntent asked = std::exchange(model.asking, {});
    if (key.name == KeyName::text && (key.text == "y" || key.text == "Y")) return asked;
    return refuse(model, "not done: " + asked.doing);
}

MonitIntent press_letter(MonitModel& model, char letter)
{
    switch (letter) {
    case 'q':
        return {.kind = Kind::quit};
    case 'r':
        return act(model, "restart", "restart");
    case 'R':
        return act(model, "reload", "reload");
    case 's':
        return stop(model);
    case 'S':
        return start(model);
    case '+':
    case '-':
        return scale(model, letter == '+');
    case 'f':
        open_prompt(model, MonitPrompt::filter);
        break;
    case '/':
        open_prompt(model, MonitPrompt::search);
        break;
    case 'n':
    case 'N':
        model.log.next_match(letter == 'n');
        break;
    case 'o':
        model.sort = static_cast<MonitSort>((static_cast<int>(model.sort) + 1) % kSorts);
        break;
    case 'O':
        model.reversed = !model.reversed;
        break;
    case 'l':
        toggle_full_logs(model);
        break;
    case 'k':
    case 'j':
        move(model, model.focus, letter == 'k' ? -1 : 1);
        break;
    case 'g':
    case 'G':
        move_to_end(model, letter == 'G');
        break;
    case '?':
    case 'h':
        model.help = true;
        model.help_top = 0;
        break;
    default:
        break;
    }
    return {};
}

MonitIntent press_freely(MonitModel& model, const Key& key, const MonitLayout& layout)
{
    const int page = page_of(model, layout);
    switch (key.name) {
    case KeyName::text:
        return press_letter(model, key.text.size() == 1 ? key.text.front() : ' ');
    case KeyName::up:
    case KeyName::down:
        move(model, model.focus, key.name == KeyName::up ? -1 : 1);
        break;
    case KeyName::page_up:
    case KeyName::page_down:
        move(model, model.focus, key.name == KeyName::page_up ? -page : page);
        break;
    case KeyName::home:
    case KeyName::end:
        move_to_end(model, key.name == KeyName::end);
        break;
    case KeyName::tab:
    case KeyName::back_tab:
        next_pane(model, layout, key.name == KeyName::tab);
        break;
    case KeyName::escape:
        if (close_something(model)) return {.kind = Kind::quit};
        break;
    case KeyName::click:
    case KeyName::wheel_up:
    case KeyName::wheel_down:
        use_mouse(model, key, layout);
        break;
    case KeyName::enter:
    case KeyName::backspace:
        break;
    }
    return {};
}

/// Where the help does not fit the screen, it moves; every other key closes it.
void press_at_help(MonitModel& model, const Key& key, Size size)
{
    const bool down = key.name == KeyName::down || key.name == KeyName::wheel_down ||
                      key.name == KeyName::page_down || key.text == "j";
    const bool up = key.name == KeyName::up || key.name == KeyName::wheel_up ||
                    key.name == KeyName::page_up || key.text == "k";
    const int most = std::max(static_cast<int>(std::size(kHelp)) - size.height + 2, 0);
    model.help = down || up;
    model.help_top = std::clamp(model.help_top + (down ? 1 : -1), 0, most);
}

} // namespace

MonitIntent press(MonitModel& model, const Key& key, Size size)
{
    MonitIntent intent;
    if (model.prompt == MonitPrompt::confirm) {
        intent = press_at_question(model, key);
    } else if (model.prompt != MonitPrompt::none) {
        press_at_prompt(model, key);
    } else if (model.help) {
        press_at_help(model, key, size);
    } else {
        model.note = {};
        intent = press_freely(model, key, layout_of(model, size));
    }
    settle(model, size);
    return intent;
}

Lines help_lines()
{
    Lines lines;
    for (const auto& [keys, what] : kHelp)
        lines.push_back({{pad(keys, 18), {.colour = Colour::cyan}}, {std::string{what}}});
    return lines;
}

} // namespace cluster::cli
