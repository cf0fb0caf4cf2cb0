#include "cli/monit_frame.hpp"

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::string_view kTab = "    ";

/// Without ESC [ … m, and with blanks for tabs.
std::string without_colours(std::string_view text)
{
    std::string kept;
    while (!text.empty()) {
        const auto special = text.find_first_of("\x1b\t");
        kept += text.substr(0, special);
        if (special == text.npos) break;
        text.remove_prefix(special);
        const auto end =
            text.starts_with("\x1b[") ? text.find_first_not_of("0123456789;:", 2) : text.npos;
        const bool is_colour = end != text.npos && text[end] == 'm';
        if (text.front() == '\t')
            kept += kTab;
        else if (!is_colour)
            kept += text.front();
        text.remove_prefix(is_colour ? end + 1 : 1);
    }
    return kept;
}

std::string ascii_only(std::string_view text)
{
    std::string kept;
    while (!text.empty()) {
        const std::size_t size = first_character(text);
        kept += size == 1 ? text.front() : '?';
        text.remove_prefix(size);
    }
    return kept;
}

} // namespace

std::size_t first_character(std::string_view text)
{
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return std::min(size, text.size());
}

std::string printable(std::string_view text, bool utf8)
{
    if (text.ends_with('\r')) text.remove_suffix(1);
    std::string shown = escape_controls(without_colours(text));
    return utf8 ? shown : ascii_only(shown);
}

int width_of(const Line& line)
{
    std::size_t width = 0;
    for (const Span& span : line)
        width += display_width(span.text);
    return static_cast<int>(width);
}

Line fitted(Line line, int width, bool utf8, Paint fill)
{
    Line kept;
    auto left = static_cast<std::size_t>(std::max(width, 0));
    for (Span& span : line) {
        const bool cut = display_width(span.text) > left;
        if (cut) span.text = fit(span.text, left, utf8);
        left -= display_width(span.text);
        kept.push_back(std::move(span));
        if (cut) break;
    }
    if (left > 0) kept.push_back({std::string(left, ' '), fill});
    return kept;
}

Lines fitted(Lines lines, int width, int height, bool utf8)
{
    lines.resize(static_cast<std::size_t>(std::max(height, 0)));
    for (Line& line : lines)
        line = fitted(std::move(line), width, utf8);
    return lines;
}

Lines wrapped(const Line& line, int width)
{
    Lines rows(1);
    int used = 0;
    for (const Span& span : line) {
        std::string_view rest = span.text;
        while (!rest.empty()) {
            const std::size_t size = first_character(rest);
            const int wide = static_cast<int>(display_width(rest.substr(0, size)));
            if (used + wide > width && used > 0) {
                rows.emplace_back();
                used = 0;
            }
            if (rows.back().empty() || rows.back().back().paint != span.paint)
                rows.back().push_back({"", span.paint});
            rows.back().back().text += rest.substr(0, size);
            used += wide;
            rest.remove_prefix(size);
        }
    }
    return rows;
}

std::string text_of(const Lines& lines)
{
    std::string all;
    for (const Line& line : lines) {
        std::string text;
        for (const Span& span : line)
            text += span.text;
        text.erase(text.find_last_not_of(' ') + 1);
        all += text + '\n';
    }
    return all;
}

} // namespace cluster::cli
