#include "app/metrics/registry.hpp"

#include "ipc/base/check.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <span>
#include <utility>

namespace cluster::app {
namespace {

// One thread counts; others, in other processes, only read. So a plain addition will do, as long as
// each cell is written in one piece.
std::uint64_t load(const Registry::Cells& cells, std::size_t at)
{
    return std::atomic_ref{cells.first[at]}.load(std::memory_order_relaxed);
}

void store(const Registry::Cells& cells, std::size_t at, std::uint64_t value)
{
    std::atomic_ref{cells.first[at]}.store(value, std::memory_order_relaxed);
}

class CellCounter final : public Counter {
public:
    CellCounter(const Registry::Cells& cells, std::size_t at) : cells_{cells}, at_{at} {}
    void add(std::uint64_t count) override { store(cells_, at_, load(cells_, at_) + count); }

private:
    const Registry::Cells& cells_;
    std::size_t at_;
};

class CellGauge final : public Gauge {
public:
    CellGauge(const Registry::Cells& cells, std::size_t at) : cells_{cells}, at_{at} {}
    void set(double value) override { store(cells_, at_, cell_of(value)); }
    void add(double value) override { set(double_of(load(cells_, at_)) + value); }

private:
    const Registry::Cells& cells_;
    std::size_t at_;
};

/// From half a millisecond to ten seconds: answers from memory, from a database, and slow ones.
constexpr std::array kBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                             0.1,    0.25,  0.5,    1.0,   2.5,  5.0,   10.0};

class CellHistogram final : public Histogram {
public:
    CellHistogram(const Registry::Cells& cells, std::size_t at) : cells_{cells}, at_{at} {}
    void observe(double seconds) override
    {
        const auto* const bound = std::ranges::lower_bound(kBounds, seconds);
        const auto bucket = at_ + static_cast<std::size_t>(bound - kBounds.begin());
        store(cells_, bucket, load(cells_, bucket) + 1);
        const std::size_t sum = at_ + kBounds.size() + 1;
        store(cells_, sum, cell_of(double_of(load(cells_, sum)) + seconds));
    }

private:
    const Registry::Cells& cells_;
    std::size_t at_;
};

std::string key_of(std::string_view name, const LabelList& labels)
{
    std::string key{name};
    for (const auto& [label, value] : labels)
        key.append(1, '\0').append(label).append(1, '\0').append(value);
    return key;
}

} // namespace

MetricsOptions read_metrics_options(Environment& environment)
{
    const std::string data = environment.text("DATA_DIR", "data");
    return {.folder = environment.text("METRICS_DIR", data + "/metrics"),
            .token = environment.text("METRICS_TOKEN")};
}

std::size_t Registry::declare(Series series)
{
    CLUSTER_CHECK(!sealed_series_, "figures are declared before the registry is sealed");
    const std::size_t at = cells_.own.size();
    cells_.own.resize(at + series.cells());
    cells_.first = cells_.own.data();
    series_.push_back(std::move(series));
    return at;
}

Counter& Registry::counter(std::string_view name, std::string_view help, LabelList labels)
{
    auto& slot = counters_[key_of(name, labels)];
    if (!slot)
        slot = std::make_unique<CellCounter>(cells_, declare({.name = std::string{name},
                                                              .help = std::string{help},
                                                              .kind = FigureKind::counter,
                                                              .labels = std::move(labels)}));
    return *slot;
}

Counter& Registry::rare_counter(std::string_view name, std::string_view help, LabelList labels)
{
    auto& slot = counters_[key_of(name, labels)];
    if (!slot)
        slot = std::make_unique<CellCounter>(cells_, declare({.name = std::string{name},
                                                              .help = std::string{help},
                                                              .kind = FigureKind::counter,
                                                              .labels = std::move(labels),
                                                              .bounds{},
                                                              .rare = true}));
    return *slot;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, LabelList labels)
{
    auto& slot = gauges_[key_of(name, labels)];
    if (!slot)
        slot = std::make_unique<CellGauge>(cells_, declare({.name = std::string{name},
                                                            .help = std::string{help},
                                                            .kind = FigureKind::gauge,
                                                            .labels = std::move(labels)}));
    return *slot;
}

Gauge& Registry::measured_counter(std::string_view name, std::string_view help, LabelList labels)
{
    auto& slot = gauges_[key_of(name, labels)];
    if (!slot)
        slot = std::make_unique<CellGauge>(cells_, declare({.name = std::string{name},
                                                            .help = std::string{help},
                                                            .kind = FigureKind::float_counter,
                                                            .labels = std::move(labels)}));
    return *slot;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, LabelList labels)
{
    auto& slot = histograms_[key_of(name, labels)];
    if (!slot)
        slot = std::make_unique<CellHistogram>(cells_,
                                               declare({.name = std::string{name},
                                                        .help = std::string{help},
                                                        .kind = FigureKind::histogram,
                                                        .labels = std::move(labels),
                                                        .bounds{kBounds.begin(), kBounds.end()}}));
    return *slot;
}

void Registry::before_scrape(std::function<void()> refresh)
{
    refreshers_.push_back(std::move(refresh));
}

Result<void> Registry::seal(const std::string& folder, const std::string& unique)
{
    sealed_series_ = std::make_shared<const std::vector<Series>>(std::move(series_));
    std::error_code code;
    std::filesystem::create_directories(folder, code);
    if (code) return ipc::fail(code, "make the folder " + folder);
    HostFigures host{folder};
    const std::string name = unique + ".figures";
    auto mapped = MappedFigures::create(host.path_of(name), describe(*sealed_series_), cells_.own);
    if (!mapped) return std::unexpected(mapped.error());
    mapped_.emplace(std::move(*mapped));
    cells_.first = mapped_->cells().data();
    host_.emplace(std::move(host));
    own_ = name;
    return host_->fold();
}

void Registry::refresh()
{
    for (const auto& refresher : refreshers_)
        refresher();
}

Snapshot Registry::snapshot() const
{
    Snapshot snapshot;
    snapshot.series =
        sealed_series_ ? sealed_series_ : std::make_shared<const std::vector<Series>>(series_);
    snapshot.cells.reserve(cells_.own.size());
    for (std::size_t at = 0; at < cells_.own.size(); ++at)
        snapshot.cells.push_back(load(cells_, at));
    return snapshot;
}

std::string Registry::host_text()
{
    refresh();
    if (!host_) {
        Totals totals;
        totals.add(snapshot(), true);
        return totals.text();
    }
    // What the dead have counted is added up either way; folding keeps their files from piling up.
    static_cast<void>(host_->fold());
    return host_->read(snapshot(), own_).text();
}

std::string Registry::instance_text(const std::string& instance)
{
    refresh();
    Totals totals;
    totals.add(snapshot(), true);
    return totals.text({{"instance", instance}});
}

} // namespace cluster::app
