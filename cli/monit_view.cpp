#include "cli/monit_view.hpp"

#include "cli/monit_detail.hpp"
#include "cli/monit_keys.hpp"
#include "cli/monit_layout.hpp"
#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

constexpr Paint kBar{.bold = true, .reverse = true};
constexpr Paint kSelected{.reverse = true};

// The list.

enum class Column { id, name, status, ready, cpu, memory, restarts, uptime };

struct ColumnSpec {
    Column column;
    std::string_view head;
    int width;      ///< 0: the name, which takes what is left
    int from_width; ///< of the pane
    bool right;     ///< figures
};

// clang-format off
constexpr ColumnSpec kColumns[] = {
    {Column::id,       "id",       4,  0,  true},
    {Column::name,     "name",     0,  0,  false},
    {Column::status,   "status",   8,  0,  false},
    {Column::ready,    "ready",    5,  66, false},
    {Column::cpu,      "cpu",      6,  0,  true},
    {Column::memory,   "mem",      8,  0,  true},
    {Column::restarts, "restarts", 8,  60, true},
    {Column::uptime,   "uptime",   6,  50, true},
};
// clang-format on
constexpr int kWholeStatus = 15; ///< "waiting restart"
constexpr int kRoomForIt = 72;   ///< of the pane

int column_width(const ColumnSpec& spec, int pane)
{
    return spec.column == Column::status && pane >= kRoomForIt ? kWholeStatus : spec.width;
}

int name_width(int pane)
{
    int left = pane;
    for (const ColumnSpec& spec : kColumns)
        if (pane >= spec.from_width) left -= column_width(spec, pane) + 1;
    return std::max(left, 1);
}

std::string ready_text(const MonitRow& row)
{
    if (row.pid == 0) return "-";
    return row.ready ? "yes" : "no";
}

Span cell(const MonitRow& row, Column column, const MonitModel& model)
{
    switch (column) {
    case Column::id:
        return {std::to_string(row.id), {.bold = true}};
    case Column::name:
        return {printable(row.name, model.utf8)};
    case Column::status:
        return {printable(row.status, model.utf8), {.colour = status_colour(row.status)}};
    case Column::ready:
        return {ready_text(row),
                {.colour = row.pid > 0 && !row.ready ? Colour::yellow : Colour::none}};
    case Column::cpu:
        return {fmt::format("{:.1f}%", row.cpu)};
    case Column::memory:
        return {format_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(row.memory, 0)))};
    case Column::restarts:
        return {std::to_string(row.restarts)};
    case Column::uptime:
        return {row.pid > 0 && row.started_at > 0 ? format_age(model.now_ms - row.started_at)
                                                  : "0"};
    }
    return {};
}

/// The span in its column, a blank in front of it.
Span placed(Span span, const ColumnSpec& spec, int pane, bool utf8)
{
    const int width = spec.width == 0 ? name_width(pane) : column_width(spec, pane);
    const auto columns = static_cast<std::size_t>(width);
    span.text = fit(span.text, columns, utf8);
    const std::string blanks(columns - std::min(display_width(span.text), columns), ' ');
    span.text = " " + (spec.right ? blanks + span.text : span.text + blanks);
    return span;
}

Line list_head(const MonitModel& model, int width)
{
    Line line;
    const Paint paint{.colour = Colour::cyan, .bold = model.focus == MonitPane::list};
    for (const ColumnSpec& spec : kColumns)
        if (width >= spec.from_width)
            line.push_back(placed({std::string{spec.head}, paint}, spec, width, model.utf8));
    return line;
}

Line list_row(const MonitModel& model, const MonitRow& row, int width)
{
    Line line;
    for (const ColumnSpec& spec : kColumns) {
        if (width < spec.from_width) continue;
        line.push_back(placed(cell(row, spec.column, model), spec, width, model.utf8));
        if (row.id == model.selected) line.back().paint = kSelected;
    }
    return line;
}

Lines draw_list(const MonitModel& model, const Rect& pane)
{
    Lines lines{list_head(model, pane.width)};
    const auto shown = visible_rows(model);
    for (auto at = static_cast<std::size_t>(model.list_top);
         at < shown.size() && static_cast<int>(lines.size()) < pane.height; ++at)
        lines.push_back(list_row(model, model.rows[shown[at]], pane.width));
    if (model.rows.empty())
        lines.push_back(
            {{" no processes; `clusterctl start` makes some", {.colour = Colour::grey}}});
    else if (shown.empty())
        lines.push_back({{" the filter lets none of them through", {.colour = Colour::grey}}});
    return lines;
}

// Headings.

/// "── text ─────── more ──".
Line heading(std::string_view text, std::string_view more, int width, bool focus, bool utf8)
{
    const std::string_view dash = utf8 ? "─" : "-";
    const auto dashes = [&](int count) {
        std::string line;
        for (int i = 0; i < count; ++i)
            line += dash;
        return line;
    };
    const std::string left = fit(text, static_cast<std::size_t>(std::max(width - 4, 0)), utf8);
    const int taken = static_cast<int>(display_width(left)) + 4;
    const int room = std::max(width - taken - 3, 0);
    const std::string right = fit(more, static_cast<std::size_t>(room), utf8);
    const int between =
        width - taken - (right.empty() ? 0 : static_cast<int>(display_width(right)) + 3);
    const Paint paint{.colour = Colour::cyan, .bold = focus};
    Line line{{dashes(2) + " ", paint}, {left, {.bold = true}}, {" " + dashes(between), paint}};
    if (!right.empty()) line.push_back({fmt::format(" {} {}", right, dash), paint});
    return line;
}

std::string title_of_selected(const MonitModel& model)
{
    const MonitRow* row = selected_row(model);
    return row == nullptr ? std::string{"nothing selected"} : title_of(*row, model.utf8);
}

Lines draw_detail(const MonitModel& model, const Rect& pane)
{
    Lines lines = detail_lines(model, pane.width, pane.height - 1);
    lines.insert(lines.begin(), heading(title_of_selected(model), "", pane.width,
                                        model.focus == MonitPane::detail, model.utf8));
    return lines;
}

Lines draw_logs(const MonitModel& model, const Rect& pane)
{
    std::string more = model.log.search_text();
    if (model.log.scrolled() > 0)
        more +=
            fmt::format("{}{} newer lines below", more.empty() ? "" : ", ", model.log.scrolled());
    Lines lines = model.log.draw(pane.width, pane.height - 1);
    lines.insert(lines.begin(), heading("logs of " + title_of_selected(model), more, pane.width,
                                        model.focus == MonitPane::logs, model.utf8));
    return lines;
}

// The first and the last line.

Line draw_title(const MonitModel& model, int width)
{
    std::size_t online = 0;
    std::size_t errored = 0;
    double cpu = 0;
    std::int64_t memory = 0;
    for (const MonitRow& row : model.rows) {
        online += row.status == "online" ? 1 : 0;
        errored += row.status == "errored" ? 1 : 0;
        cpu += row.cpu;
        memory += row.memory;
    }
    std::string text =
        fmt::format(" clusterctl  {} processes, {} online", model.rows.size(), online);
    if (errored > 0) text += fmt::format(", {} errored", errored);
    text +=
        fmt::format("  cpu {:.1f}%  mem {}", cpu,
                    format_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(memory, 0))));
    std::string right = " ";
    if (!model.filter.empty())
        right += fmt::format("filter {}  ", printable(model.filter, model.utf8));
    right += fmt::format("sort {}{} ", name_of(model.sort), model.reversed ? " reversed" : "");
    const int room = width - static_cast<int>(display_width(right));
    Line line = fitted({{std::move(text), kBar}}, room, model.utf8, kBar);
    line.push_back({std::move(right), kBar});
    return line;
}

constexpr std::string_view kHints =
    " ? help  q quit  r restart  R reload  s stop  S start  +/- scale  f filter  o sort  / search";

Line draw_status(const MonitModel& model)
{
    const std::string typed = printable(model.typed, model.utf8);
    const Paint question{.colour = Colour::yellow, .bold = true};
    switch (model.prompt) {
    case MonitPrompt::filter:
        return {{" filter: ", {.bold = true}}, {typed}, {" ", {.reverse = true}}};
    case MonitPrompt::search:
        return {{" search in the logs: ", {.bold = true}}, {typed}, {" ", {.reverse = true}}};
    case MonitPrompt::confirm:
        return {{fmt::format(" {}? y/n", model.asking.doing), question}};
    case MonitPrompt::none:
        break;
    }
    if (!model.connected)
        return {
            {" " + printable(model.link_text, model.utf8), {.colour = Colour::red, .bold = true}}};
    if (!model.note.text.empty())
        return {{" " + printable(model.note.text, model.utf8), {.colour = model.note.colour}}};
    return {{std::string{kHints}, {.colour = Colour::grey}}};
}

// Putting it together.

void put(Lines& screen, Lines lines, const Rect& pane, bool utf8)
{
    lines = fitted(std::move(lines), pane.width, pane.height, utf8);
    for (std::size_t at = 0; at < lines.size(); ++at) {
        Line& line = screen[static_cast<std::size_t>(pane.y) + at];
        // A pane beside another one: one column between them.
        const int used = width_of(line);
        if (pane.x > used)
            line.push_back({std::string(static_cast<std::size_t>(pane.x - used), ' ')});
        std::ranges::move(lines[at], std::back_inserter(line));
    }
}

Lines draw_help(const MonitModel& model, Size size)
{
    Lines lines{heading("keys of clusterctl monit", "", size.width, true, model.utf8)};
    Lines help = help_lines();
    for (auto at = static_cast<std::size_t>(model.help_top); at < help.size(); ++at) {
        help[at].insert(help[at].begin(), {" "});
        lines.push_back(std::move(help[at]));
    }
    lines.resize(static_cast<std::size_t>(size.height - 1));
    lines.push_back({{" up and down move, any other key goes back", {.colour = Colour::grey}}});
    return lines;
}

Lines draw_too_small(Size size)
{
    return {{{fmt::format("{}x{} is too small:", size.width, size.height)}},
            {{fmt::format("at least {}x{}", kLeastSize.width, kLeastSize.height)}},
            {{"is needed (q quits)"}}};
}

} // namespace

Frame draw_monit(const MonitModel& model, Size size)
{
    const MonitLayout layout = layout_of(model, size);
    const bool utf8 = model.utf8;
    if (layout.too_small)
        return {size, fitted(draw_too_small(size), size.width, size.height, utf8)};
    if (model.help) return {size, fitted(draw_help(model, size), size.width, size.height, utf8)};
    Lines screen(static_cast<std::size_t>(size.height));
    put(screen, {draw_title(model, size.width)}, layout.title, utf8);
    if (layout.list.height > 0) put(screen, draw_list(model, layout.list), layout.list, utf8);
    if (layout.detail.height > 0)
        put(screen, draw_detail(model, layout.detail), layout.detail, utf8);
    put(screen, draw_logs(model, layout.logs), layout.logs, utf8);
    put(screen, {draw_status(model)}, layout.status, utf8);
    return {size, fitted(std::move(screen), size.width, size.height, utf8)};
}

} // namespace cluster::cli
