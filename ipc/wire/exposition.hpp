// Figures as Prometheus reads them: its text format, version 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats). Written straight into the text that goes
// out: thousands of samples need no memory besides. (prometheus-cpp, which Debian ships as a shared
// library only, would make each a tree of objects first, and bring a second C++ runtime along.)
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::ipc {

enum class MetricType { counter, gauge, histogram };

/// What a metric is called and means. The texts must outlive its samples.
struct Metric {
    std::string_view name;
    MetricType type = MetricType::gauge;
    std::string_view help;
};

/// `name="value",…` with the value escaped: the part between the braces. Once made, it serves all
/// samples of one thing.
class Labels {
public:
    Labels() = default;
    Labels(std::initializer_list<std::pair<std::string_view, std::string_view>> all);
    void add(std::string_view name, std::string_view value);
    [[nodiscard]] Labels with(std::string_view name, std::string_view value) const;
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

/// Writes metrics one after the other; all samples of one follow each other. The lines that say
/// what it is come with the first sample: one without samples leaves nothing.
class Exposition {
public:
    explicit Exposition(std::string& out) : out_{out} {}

    void begin(const Metric& metric);
    void sample(const Labels& labels, double value);
    void sample(const Labels& labels, std::uint64_t value);
    /// The buckets, sum and count of a histogram. `counts` are those of each bucket alone, one more
    /// than `bounds`: the last is for all above.
    void histogram(const Labels& labels, std::span<const double> bounds,
                   std::span<const std::uint64_t> counts, double sum);

private:
    void line(const Labels& labels, std::string_view suffix = "");
    void number(double value);
    void number(std::uint64_t value);

    std::string& out_;
    const Metric* metric_ = nullptr;
    bool told_ = false;
};

} // namespace cluster::ipc
