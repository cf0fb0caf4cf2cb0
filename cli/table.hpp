// Boxes around rows of text, as PM2 draws them. Pure: rows in, text out.
#pragma once

#include "cli/text.hpp"

#include <string>
#include <vector>

namespace cluster::cli {

struct Cell {
    std::string text; ///< harmless already: no control characters
    Colour colour = Colour::none;
};

struct Column {
    std::string head;
    std::size_t least = 0;   ///< the narrowest it is drawn, without the two blanks around it
    std::size_t shrinks = 0; ///< may be cut down to this many columns; 0: never cut
};

struct Table {
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows; ///< each as long as `columns`
    bool head = true;                    ///< false: no head row (key and value tables)
};

/// Columns that the table takes when nothing is cut.
[[nodiscard]] std::size_t natural_width(const Table& table);
/// Columns that it takes at the least.
[[nodiscard]] std::size_t least_width(const Table& table);

/// The table with its borders, a newline after each line. When `style.width` is too small the
/// columns that may shrink are cut; a line that is still too long loses its end, so that no line
/// ever wraps.
[[nodiscard]] std::string draw(const Table& table, const Style& style);

} // namespace cluster::cli
