// The log pane of `monit`: the last lines of one process, where one has scrolled to, and what is
// searched for. Pure.
#pragma once

#include "cli/monit_frame.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::cli {

class LogPane {
public:
    /// A line of an app, any bytes; its stderr with `error`. The oldest one goes when there are too
    /// many. What one has scrolled to stays where it is.
    void add(std::string_view text, bool error, bool utf8);
    /// A line of ours between them, such as how many were missed.
    void note(std::string text);
    void clear();

    /// Towards the older lines; negative towards the newest ones.
    void scroll(std::ptrdiff_t lines);
    void to_oldest();
    void to_newest() { scrolled_ = 0; }
    /// Lines that have come behind the last one shown.
    [[nodiscard]] std::size_t scrolled() const { return scrolled_; }
    /// Takes back what was scrolled too far for a pane of that size.
    void settle(int width, int height);

    /// Searches (letters of both cases are equal) from the newest line on, and scrolls to what is
    /// found. "" ends the search.
    void search(std::string text);
    /// To the next match in direction of the older lines, or of the newer ones.
    void next_match(bool older);
    [[nodiscard]] const std::string& searched() const { return search_; }
    /// "/text: 2 of 3", "/text: not found"; "" without a search.
    [[nodiscard]] std::string search_text() const;

    /// The lines that stand in a pane of that size, long ones wrapped.
    [[nodiscard]] Lines draw(int width, int height) const;
    [[nodiscard]] std::size_t size() const { return lines_.size(); }

private:
    struct Entry {
        std::string text;
        bool error = false;
        bool ours = false;
    };

    void keep(Entry entry);
    [[nodiscard]] bool matches(const Entry& entry) const;
    [[nodiscard]] Lines rows_of(std::size_t index, int width) const;
    void show(std::size_t index);

    std::deque<Entry> lines_;
    std::uint64_t first_ = 0; ///< how many have gone: the number of lines_[0]
    std::size_t scrolled_ = 0;
    std::string search_;
    std::optional<std::uint64_t> match_; ///< number of the line that was found last
};

} // namespace cluster::cli
