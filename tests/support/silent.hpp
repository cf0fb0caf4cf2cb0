// A log that says only what went wrong, and figures that nobody reads: for test programs.
#pragma once

#include "app/base/log.hpp"
#include "app/metrics/metrics.hpp"

#include <cstdio>

namespace cluster::tests {

class StderrLog final : public app::Log {
public:
    void write(app::LogLevel, std::string_view message, const app::json& fields) override
    {
        const auto text = fields.dump(-1, ' ', false, app::json::error_handler_t::replace);
        std::fprintf(stderr, "%.*s %s\n", static_cast<int>(message.size()), message.data(),
                     text.c_str());
    }
    [[nodiscard]] bool wants(app::LogLevel level) const override
    {
        return level >= app::LogLevel::warn;
    }
};

/// Counts nothing.
class NoMetrics final : public app::Metrics {
public:
    app::Counter& counter(std::string_view, std::string_view, app::LabelList) override
    {
        return none_;
    }
    app::Gauge& gauge(std::string_view, std::string_view, app::LabelList) override
    {
        return level_;
    }
    app::Histogram& histogram(std::string_view, std::string_view, app::LabelList) override
    {
        return spread_;
    }
    void before_scrape(std::function<void()>) override {}

private:
    struct NoCounter final : app::Counter {
        void add(std::uint64_t) override {}
    } none_;
    struct NoGauge final : app::Gauge {
        void set(double) override {}
        void add(double) override {}
    } level_;
    struct NoHistogram final : app::Histogram {
        void observe(double) override {}
    } spread_;
};

} // namespace cluster::tests
