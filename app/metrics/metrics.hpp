// Figures about this server, for Prometheus. Everything that will ever be counted is declared at
// start, so that counting is one addition and a scrape finds every series from the first moment.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::app {

using LabelList = std::vector<std::pair<std::string, std::string>>;

class Counter {
public:
    virtual ~Counter() = default;
    virtual void add(std::uint64_t count = 1) = 0;
};

class Gauge {
public:
    virtual ~Gauge() = default;
    virtual void set(double value) = 0;
    virtual void add(double value) = 0;
};

class Histogram {
public:
    virtual ~Histogram() = default;
    virtual void observe(double seconds) = 0;
};

/// Where roles declare their figures, all of them before `Metrics::seal`. What it returns lives as
/// long as it does. Names follow prometheus.io/docs/practices/naming ("http_requests_total"). The
/// same name and labels twice are the same figure. All is called from the loop's thread.
class Metrics {
public:
    virtual ~Metrics() = default;
    virtual Counter& counter(std::string_view name, std::string_view help, LabelList labels) = 0;
    /// One that most processes never count: shown from its first count on, not before.
    virtual Counter& rare_counter(std::string_view name, std::string_view help, LabelList labels)
    {
        return counter(name, help, std::move(labels));
    }
    virtual Gauge& gauge(std::string_view name, std::string_view help, LabelList labels) = 0;
    virtual Histogram& histogram(std::string_view name, std::string_view help,
                                 LabelList labels) = 0;
    /// Called before each scrape: to set gauges that nobody keeps up to date.
    virtual void before_scrape(std::function<void()> refresh) = 0;
};

} // namespace cluster::app
