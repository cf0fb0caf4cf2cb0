#include "app/metrics/totals.hpp"

#include "ipc/wire/exposition.hpp"

#include <algorithm>

namespace cluster::app {
namespace {

using ipc::Exposition;
using ipc::Labels;
using ipc::MetricType;

bool is_moment(std::string_view name)
{
    return name.ends_with("_time_seconds") || name.ends_with("_timestamp_seconds");
}

bool is_zero(std::span<const std::uint64_t> cells)
{
    return std::ranges::all_of(cells, [](std::uint64_t cell) { return cell == 0; });
}

MetricType type_of(FigureKind kind)
{
    if (kind == FigureKind::histogram) return MetricType::histogram;
    return kind == FigureKind::gauge ? MetricType::gauge : MetricType::counter;
}

Labels labels_of(const LabelList& own, const LabelList& more)
{
    Labels labels;
    for (const auto& [name, value] : own)
        labels.add(name, value);
    for (const auto& [name, value] : more)
        labels.add(name, value);
    return labels;
}

void add_double(std::uint64_t& cell, std::uint64_t more)
{
    cell = cell_of(double_of(cell) + double_of(more));
}

void add_histogram(const std::vector<double>& bounds, std::vector<std::uint64_t>& into,
                   const std::vector<double>& from_bounds, std::span<const std::uint64_t> from)
{
    for (std::size_t i = 0; i < from_bounds.size(); ++i) {
        const auto above = std::ranges::lower_bound(bounds, from_bounds[i]);
        into[static_cast<std::size_t>(above - bounds.begin())] += from[i];
    }
    into[bounds.size()] += from[from_bounds.size()];
    add_double(into.back(), from.back());
}

/// Adds the cells of a series to those of another one of the same kind and bounds.
void add_cells(const Series& series, std::span<std::uint64_t> into,
               std::span<const std::uint64_t> from)
{
    switch (series.kind) {
    case FigureKind::counter:
        into[0] += from[0];
        return;
    case FigureKind::float_counter:
        add_double(into[0], from[0]);
        return;
    case FigureKind::gauge:
        if (is_moment(series.name))
            into[0] = cell_of(std::max(double_of(into[0]), double_of(from[0])));
        else
            add_double(into[0], from[0]);
        return;
    case FigureKind::histogram:
        for (std::size_t i = 0; i + 1 < into.size(); ++i)
            into[i] += from[i];
        add_double(into.back(), from.back());
        return;
    }
}

std::size_t cells_of(const std::vector<Series>& list)
{
    std::size_t cells = 0;
    for (const Series& series : list)
        cells += series.cells();
    return cells;
}

} // namespace

void Totals::add(const Snapshot& snapshot, bool alive)
{
    if (snapshot.cells.size() < cells_of(*snapshot.series)) return;
    auto sum = std::ranges::find(sums_, snapshot.series, &Snapshot::series);
    if (sum == sums_.end()) {
        Snapshot zero{.series = snapshot.series};
        zero.cells.resize(cells_of(*snapshot.series));
        sum = sums_.insert(sum, std::move(zero));
    }
    std::size_t at = 0;
    for (const Series& series : *snapshot.series) {
        const std::size_t size = series.cells();
        if (alive || series.kind != FigureKind::gauge)
            add_cells(series, std::span{sum->cells}.subspan(at, size),
                      std::span{snapshot.cells}.subspan(at, size));
        at += size;
    }
}

Totals::Family& Totals::Table::family_of(const Series& series)
{
    const auto [found, fresh] = by_name_.try_emplace(series.name, families_.size());
    if (fresh) {
        Family family{
            .name = series.name, .help = series.help, .kind = series.kind, .bounds = series.bounds};
        families_.push_back(std::move(family));
    }
    return families_[found->second];
}

Totals::Entry& Totals::Table::entry_of(Family& family, const Series& series)
{
    const std::string key = labels_of(series.labels, {}).text();
    const auto [found, fresh] = family.by_labels.try_emplace(key, family.entries.size());
    if (fresh) {
        const std::size_t cells =
            family.kind == FigureKind::histogram ? family.bounds.size() + 2 : 1;
        Entry entry{.labels = series.labels, .cells{}, .rare = series.rare};
        entry.cells.resize(cells);
        family.entries.push_back(std::move(entry));
    }
    return family.entries[found->second];
}

void Totals::Table::add(const Snapshot& snapshot)
{
    std::span<const std::uint64_t> rest{snapshot.cells};
    for (const Series& series : *snapshot.series) {
        const auto cells = rest.first(series.cells());
        rest = rest.subspan(series.cells());
        Family& family = family_of(series);
        if (family.kind != series.kind) continue;
        Entry& entry = entry_of(family, series);
        if (series.kind == FigureKind::histogram)
            add_histogram(family.bounds, entry.cells, series.bounds, cells);
        else
            add_cells(series, entry.cells, cells);
    }
}

Totals::Table Totals::table() const
{
    Table table;
    for (const Snapshot& sum : sums_)
        table.add(sum);
    return table;
}

std::string Totals::text(const LabelList& more) const
{
    std::string out;
    Exposition to{out};
    const Table all = table();
    for (const Family& family : all.families()) {
        const ipc::Metric metric{family.name, type_of(family.kind), family.help};
        to.begin(metric);
        for (const Entry& entry : family.entries) {
            if (entry.rare && is_zero(entry.cells)) continue;
            const Labels labels = labels_of(entry.labels, more);
            const std::span<const std::uint64_t> cells{entry.cells};
            if (family.kind == FigureKind::histogram)
                to.histogram(labels, family.bounds, cells.first(cells.size() - 1),
                             double_of(cells.back()));
            else if (family.kind == FigureKind::counter)
                to.sample(labels, cells[0]);
            else
                to.sample(labels, double_of(cells[0]));
        }
    }
    return out;
}

Snapshot Totals::lasting() const
{
    Snapshot snapshot;
    std::vector<Series> list;
    const Table all = table();
    for (const Family& family : all.families()) {
        if (family.kind == FigureKind::gauge) continue;
        for (const Entry& entry : family.entries) {
            if (is_zero(entry.cells)) continue; // who counts it declares it anew
            list.push_back(Series{.name = family.name,
                                  .help = family.help,
                                  .kind = family.kind,
                                  .labels = entry.labels,
                                  .bounds = family.bounds,
                                  .rare = entry.rare});
            snapshot.cells.insert(snapshot.cells.end(), entry.cells.begin(), entry.cells.end());
        }
    }
    snapshot.series = std::make_shared<const std::vector<Series>>(std::move(list));
    return snapshot;
}

} // namespace cluster::app
