// What the figures of a process are called, and their values as an array of 64-bit cells: the form
// in which processes, also of different versions, show each other what they have counted. Pure.
#pragma once

#include "app/metrics/metrics.hpp"
#include "ipc/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

using ipc::Result;

enum class FigureKind {
    counter,       ///< one cell: a whole number
    float_counter, ///< one cell: the bits of a double
    gauge,         ///< one cell: the bits of a double
    histogram,     ///< one cell per bound, one for what is above, and the sum (bits of a double)
};

/// One figure: a name with its labels.
struct Series {
    std::string name;
    std::string help;
    FigureKind kind = FigureKind::counter;
    LabelList labels{};
    std::vector<double> bounds{}; ///< of a histogram, growing
    bool rare = false;            ///< not shown while it is 0

    /// How many cells it has.
    [[nodiscard]] std::size_t cells() const;
    bool operator==(const Series&) const = default;
};

/// Shared, because most processes of a host count the same: whose lists are one can be added up
/// cell by cell.
using SeriesList = std::shared_ptr<const std::vector<Series>>;

/// The figures of one process, or of all that have ended. The cells of a series follow those of the
/// series before it.
struct Snapshot {
    SeriesList series = std::make_shared<std::vector<Series>>();
    std::vector<std::uint64_t> cells{};
};

/// The series, and the names of files whose figures are in them already, as one JSON text.
[[nodiscard]] std::string describe(std::span<const Series> series,
                                   std::span<const std::string> folded = {});

struct Description {
    SeriesList series;
    std::vector<std::string> folded{};
    std::size_t cells = 0;
};

/// Reads such a text. Errors: whatever is not as `describe` writes it, also a name or label that
/// Prometheus would not take, bounds that do not grow, or more than a million cells.
[[nodiscard]] Result<Description> parse_description(std::string_view text);

/// The last texts that were read: to take one apart again would cost more than all else of a
/// scrape.
class Descriptions {
public:
    /// As `parse_description`; nullptr instead of its errors.
    [[nodiscard]] std::shared_ptr<const Description> parse(std::string_view text);

private:
    struct Known {
        std::string text;
        std::shared_ptr<const Description> description;
    };
    std::vector<Known> known_; ///< the last used first
};

[[nodiscard]] double double_of(std::uint64_t cell);
[[nodiscard]] std::uint64_t cell_of(double value);

} // namespace cluster::app
