#include "cli/table.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace cluster::cli {
namespace {

using Widths = std::vector<std::size_t>;

struct Border {
    std::string_view line, bar;
    std::string_view top[3], middle[3], bottom[3]; ///< left, between, right
};

constexpr Border kBox{"─", "│", {"┌", "┬", "┐"}, {"├", "┼", "┤"}, {"└", "┴", "┘"}};
constexpr Border kAscii{"-", "|", {"+", "+", "+"}, {"+", "+", "+"}, {"+", "+", "+"}};

Widths natural_widths(const Table& table)
{
    Widths widths;
    for (const Column& column : table.columns)
        widths.push_back(std::max(column.least, table.head ? display_width(column.head) : 0));
    for (const auto& row : table.rows)
        for (std::size_t at = 0; at < widths.size(); ++at)
            widths[at] = std::max(widths[at], display_width(row[at].text));
    return widths;
}

std::size_t with_borders(const Widths& widths)
{
    return std::accumulate(widths.begin(), widths.end(), widths.size() * 3 + 1);
}

/// Takes from the shrinking columns, the widest first, until the table fits `width`.
void shrink(Widths& widths, const Table& table, std::size_t width)
{
    while (with_borders(widths) > width) {
        std::size_t victim = widths.size();
        for (std::size_t at = 0; at < widths.size(); ++at) {
            const std::size_t floor = table.columns[at].shrinks;
            if (floor == 0 || widths[at] <= floor) continue;
            if (victim == widths.size() || widths[at] > widths[victim]) victim = at;
        }
        if (victim == widths.size()) return;
        --widths[victim];
    }
}

std::string rule(const Widths& widths, const Border& border, const std::string_view (&ends)[3])
{
    std::string line;
    for (std::size_t at = 0; at < widths.size(); ++at) {
        line += at == 0 ? ends[0] : ends[1];
        for (std::size_t i = 0; i < widths[at] + 2; ++i)
            line += border.line;
    }
    line += ends[2];
    return line;
}

std::string row_line(const std::vector<Cell>& row, const Widths& widths, const Border& border,
                     const Style& style)
{
    std::string line;
    for (std::size_t at = 0; at < widths.size(); ++at) {
        line += border.bar;
        line += ' ';
        const std::string text = fit(row[at].text, widths[at], style.utf8);
        line += paint(text, row[at].colour, style);
        line.append(widths[at] - display_width(text) + 1, ' ');
    }
    line += border.bar;
    return line;
}

} // namespace

std::size_t natural_width(const Table& table)
{
    return with_borders(natural_widths(table));
}

std::size_t least_width(const Table& table)
{
    Widths widths = natural_widths(table);
    shrink(widths, table, 0);
    return with_borders(widths);
}

std::string draw(const Table& table, const Style& style)
{
    const Border& border = style.utf8 ? kBox : kAscii;
    Widths widths = natural_widths(table);
    Style cells = style;
    if (style.width > 0) shrink(widths, table, style.width);
    const bool cut = style.width > 0 && with_borders(widths) > style.width;
    if (cut) cells.colour = false; // an escape sequence must not be cut in half

    std::string text;
    const auto add = [&](std::string line) {
        text += cut ? fit(line, style.width, style.utf8) : std::move(line);
        text += '\n';
    };
    add(rule(widths, border, border.top));
    if (table.head) {
        std::vector<Cell> head;
        for (const Column& column : table.columns)
            head.push_back({column.head, Colour::cyan});
        add(row_line(head, widths, border, cells));
        add(rule(widths, border, border.middle));
    }
    for (const auto& row : table.rows)
        add(row_line(row, widths, border, cells));
    add(rule(widths, border, border.bottom));
    return text;
}

} // namespace cluster::cli
