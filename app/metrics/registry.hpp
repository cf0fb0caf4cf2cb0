// The figures of this process: counted in memory that the other processes of the host can read, so
// that whichever of them is scraped answers for all.
#pragma once

#include "app/base/environment.hpp"
#include "app/metrics/figure_file.hpp"
#include "app/metrics/host_figures.hpp"
#include "app/metrics/metrics.hpp"
#include "app/metrics/totals.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::app {

struct MetricsOptions {
    std::string folder; ///< METRICS_DIR, else "metrics" in DATA_DIR
    std::string token;  ///< METRICS_TOKEN: what a scraper must show; "" is none
};

[[nodiscard]] MetricsOptions read_metrics_options(Environment& environment);

class Registry final : public Metrics {
public:
    Registry() = default;
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;

    Counter& counter(std::string_view name, std::string_view help, LabelList labels) override;
    Counter& rare_counter(std::string_view name, std::string_view help, LabelList labels) override;
    Gauge& gauge(std::string_view name, std::string_view help, LabelList labels) override;
    Histogram& histogram(std::string_view name, std::string_view help, LabelList labels) override;
    void before_scrape(std::function<void()> refresh) override;

    /// A counter whose total comes from elsewhere: it is set, and only grows.
    Gauge& measured_counter(std::string_view name, std::string_view help, LabelList labels);

    /// Everything is declared: from now on others can read it. `unique` parts this process from
    /// all others of the folder, also ended ones ("PID-RANDOM"). After an error (of the file
    /// system) this process still counts, for itself.
    [[nodiscard]] Result<void> seal(const std::string& folder, const std::string& unique);

    /// Sets what nobody keeps up to date (`before_scrape`).
    void refresh();

    /// The sums over the host; when it has not been sealed, this process alone. The text format
    /// 0.0.4.
    [[nodiscard]] std::string host_text();
    /// This process alone, each sample with the label `instance`.
    [[nodiscard]] std::string instance_text(const std::string& instance);

    struct Cells {
        std::vector<std::uint64_t> own{}; ///< before `seal`
        std::uint64_t* first = nullptr;
    };

private:
    /// The place of the first cell of a new series.
    std::size_t declare(Series series);
    [[nodiscard]] Snapshot snapshot() const;

    Cells cells_;
    std::vector<Series> series_;                               ///< until it is sealed
    SeriesList sealed_series_;                                 ///< null before
    std::map<std::string, std::unique_ptr<Counter>> counters_; ///< by name and labels
    std::map<std::string, std::unique_ptr<Gauge>> gauges_;
    std::map<std::string, std::unique_ptr<Histogram>> histograms_;
    std::vector<std::function<void()>> refreshers_;
    std::optional<MappedFigures> mapped_;
    std::optional<HostFigures> host_;
    std::string own_; ///< name of the file
};

/// CPU, memory, descriptors and start of this process ("process_*" as the client libraries of
/// Prometheus have them), how many processes there are, and the version.
void add_process_figures(Registry& registry, std::int64_t started_wall_ms);

} // namespace cluster::app
