#include "cli/monit_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::size_t kMostLines = 2000;
constexpr std::size_t kLongestLine = 8192; ///< bytes; nobody reads the rest of it here
constexpr Paint kFound{.colour = Colour::yellow, .bold = true, .reverse = true};

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::size_t find(std::string_view text, std::string_view wanted, std::size_t from = 0)
{
    const auto same = [](char a, char b) { return lower(a) == lower(b); };
    if (wanted.empty() || from >= text.size()) return text.npos;
    const auto at = std::search(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(),
                                wanted.begin(), wanted.end(), same);
    return at == text.end() ? text.npos : static_cast<std::size_t>(at - text.begin());
}

/// `text` in pieces, those that are `wanted` painted so.
Line highlighted(std::string_view text, std::string_view wanted, Paint paint)
{
    Line line;
    while (!text.empty()) {
        const std::size_t at = std::min(find(text, wanted), text.size());
        if (at > 0) line.push_back({std::string{text.substr(0, at)}, paint});
        const std::size_t end = std::min(at + wanted.size(), text.size());
        if (at < end) line.push_back({std::string{text.substr(at, end - at)}, kFound});
        text.remove_prefix(end);
    }
    return line;
}

} // namespace

void LogPane::add(std::string_view text, bool error, bool utf8)
{
    std::string shown = printable(text.substr(0, kLongestLine), utf8);
    if (text.size() > kLongestLine)
        shown += fmt::format(" [{} more bytes]", text.size() - kLongestLine);
    keep({.text = std::move(shown), .error = error});
}

void LogPane::note(std::string text)
{
    keep({.text = std::move(text), .ours = true});
}

void LogPane::keep(Entry entry)
{
    lines_.push_back(std::move(entry));
    if (scrolled_ > 0) ++scrolled_;
    if (lines_.size() <= kMostLines) return;
    lines_.pop_front();
    ++first_;
    scrolled_ = std::min(scrolled_, lines_.size() - 1);
}

void LogPane::clear()
{
    lines_.clear();
    scrolled_ = 0;
    match_.reset();
}

void LogPane::scroll(std::ptrdiff_t lines)
{
    const auto most = static_cast<std::ptrdiff_t>(lines_.empty() ? 0 : lines_.size() - 1);
    scrolled_ = static_cast<std::size_t>(
        std::clamp(static_cast<std::ptrdiff_t>(scrolled_) + lines, std::ptrdiff_t{0}, most));
}

void LogPane::to_oldest()
{
    scrolled_ = lines_.empty() ? 0 : lines_.size() - 1;
}

/// The oldest lines are at the top of a full pane, not alone at its bottom.
void LogPane::settle(int width, int height)
{
    int rows = 0;
    std::size_t above = 0;
    while (above < lines_.size()) {
        rows += static_cast<int>(rows_of(above, width).size());
        if (rows > height) break;
        ++above;
        if (rows == height) break;
    }
    above = std::max<std::size_t>(above, 1);
    scrolled_ = std::min(scrolled_, lines_.size() - std::min(above, lines_.size()));
}

bool LogPane::matches(const Entry& entry) const
{
    return find(entry.text, search_) != std::string::npos;
}

void LogPane::show(std::size_t index)
{
    match_ = first_ + index;
    scrolled_ = lines_.size() - 1 - index;
}

void LogPane::search(std::string text)
{
    search_ = std::move(text);
    match_.reset();
    if (!search_.empty()) next_match(true);
}

void LogPane::next_match(bool older)
{
    if (search_.empty()) return;
    const auto size = static_cast<std::ptrdiff_t>(lines_.size());
    const std::ptrdiff_t step = older ? -1 : 1;
    // A match that has gone meanwhile stood before the first line.
    std::ptrdiff_t at = size;
    if (match_) at = *match_ < first_ ? -1 : static_cast<std::ptrdiff_t>(*match_ - first_);
    for (at += step; at >= 0 && at < size; at += step)
        if (matches(lines_[static_cast<std::size_t>(at)]))
            return show(static_cast<std::size_t>(at));
}

std::string LogPane::search_text() const
{
    if (search_.empty()) return {};
    std::size_t all = 0;
    std::size_t place = 0;
    for (std::size_t at = lines_.size(); at > 0; --at) {
        if (!matches(lines_[at - 1])) continue;
        ++all;
        if (match_ && first_ + at - 1 >= *match_) place = all;
    }
    if (all == 0) return fmt::format("/{}: not found", search_);
    return fmt::format("/{}: {} of {}", search_, place, all);
}

Lines LogPane::rows_of(std::size_t index, int width) const
{
    const Entry& entry = lines_[index];
    Paint paint;
    if (entry.error) paint.colour = Colour::red;
    if (entry.ours) paint.colour = Colour::grey;
    return wrapped(highlighted(entry.text, search_, paint), width);
}

Lines LogPane::draw(int width, int height) const
{
    Lines rows; // the last one first
    const auto wanted = static_cast<std::size_t>(std::max(height, 0));
    for (std::size_t at = lines_.size() - std::min(scrolled_, lines_.size());
         at > 0 && rows.size() < wanted; --at) {
        Lines some = rows_of(at - 1, width);
        std::move(some.rbegin(), some.rend(), std::back_inserter(rows));
    }
    if (rows.size() > wanted) rows.resize(wanted);
    std::ranges::reverse(rows);
    return rows;
}

} // namespace cluster::cli
