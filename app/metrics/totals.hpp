// Figures of several processes added up, and written as Prometheus reads them. Pure.
//
//   counter, histogram   the sum over all processes that are or were
//   gauge                the sum over the living ones; of a moment (…_time_seconds) the latest
//
// Processes of different versions may differ in what they count: a series that only one has stands
// for itself; of one whose kinds differ the first one counts; a histogram with other bounds is
// added to the next higher ones.
#pragma once

#include "app/metrics/series.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cluster::app {

class Totals {
public:
    /// Adds a process. Of one that has ended (`alive` is false) gauges do not count. What has too
    /// few cells is dropped.
    void add(const Snapshot& snapshot, bool alive);

    /// In the text format 0.0.4; each sample gets the labels `more` as well.
    [[nodiscard]] std::string text(const LabelList& more = {}) const;

    /// What lasts when all of them have ended: counters and histograms.
    [[nodiscard]] Snapshot lasting() const;

private:
    struct Entry {
        LabelList labels;
        std::vector<std::uint64_t> cells;
        bool rare = false;
    };
    struct Family {
        std::string name;
        std::string help;
        FigureKind kind = FigureKind::counter;
        std::vector<double> bounds;
        std::vector<Entry> entries{};
        std::unordered_map<std::string, std::size_t> by_labels{};
    };

    /// Families with their entries in the order in which they were first seen.
    class Table {
    public:
        void add(const Snapshot& snapshot);
        [[nodiscard]] const std::vector<Family>& families() const { return families_; }

    private:
        Family& family_of(const Series& series);
        static Entry& entry_of(Family& family, const Series& series);

        std::vector<Family> families_;
        std::unordered_map<std::string, std::size_t> by_name_;
    };

    [[nodiscard]] Table table() const;

    std::vector<Snapshot> sums_; ///< one per list of series
};

} // namespace cluster::app
