// What `monit` puts on the screen, as a value: lines of painted text. Made by monit_view out of a
// model, put out by monit_terminal. Pure; all text in it is harmless and as wide as it says.
#pragma once

#include "cli/text.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

struct Size {
    int width = 0; ///< columns
    int height = 0;
    bool operator==(const Size&) const = default;
};

struct Rect {
    int x = 0;
    int y = 0;
    int width = 0;
    int height = 0; ///< 0: not shown

    [[nodiscard]] bool holds(int column, int row) const
    {
        return column >= x && column < x + width && row >= y && row < y + height;
    }
    bool operator==(const Rect&) const = default;
};

struct Paint {
    Colour colour = Colour::none;
    bool bold = false;
    bool reverse = false;
    bool operator==(const Paint&) const = default;
};

struct Span {
    std::string text;
    Paint paint{};
    bool operator==(const Span&) const = default;
};

using Line = std::vector<Span>;
using Lines = std::vector<Line>;

struct Frame {
    Size size;
    Lines lines; ///< `size.height` of them, each `size.width` columns wide
    bool operator==(const Frame&) const = default;
};

/// The line cut or filled with blanks to `width` columns. `fill` paints the blanks.
[[nodiscard]] Line fitted(Line line, int width, bool utf8, Paint fill = {});

/// `lines` cut or filled to the size of a pane.
[[nodiscard]] Lines fitted(Lines lines, int width, int height, bool utf8);

/// The line in rows of at most `width` columns, at least one.
[[nodiscard]] Lines wrapped(const Line& line, int width);

/// Columns that a line takes.
[[nodiscard]] int width_of(const Line& line);

/// The characters alone, for tests: lines with a newline each, blanks at their ends left out.
[[nodiscard]] std::string text_of(const Lines& lines);

/// Text out of an app's name or log, for one line of the screen: colour sequences are left out,
/// tabs become blanks, other control characters "\x1b" and the like; without `utf8` everything that
/// is not ASCII becomes "?".
[[nodiscard]] std::string printable(std::string_view text, bool utf8);

/// Bytes of the character that `text` (valid UTF-8, not empty) begins with.
[[nodiscard]] std::size_t first_character(std::string_view text);

} // namespace cluster::cli
