// What the tests of the store stand on: a store made from the environment, as `main` makes it, and
// a way to wait for one of its calls.
#pragma once

#include "app/base/ids.hpp"
#include "app/base/line_log.hpp"
#include "app/base/line_sink.hpp"
#include "app/store/make_store.hpp"
#include "ipc/base/check.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

namespace cluster::app::test {

/// Keeps every figure by "name{label,...}".
class KeptMetrics final : public Metrics {
public:
    struct Cell final : Counter, Gauge, Histogram {
        void add(std::uint64_t count) override { value += static_cast<double>(count); }
        void set(double given) override { value = given; }
        void add(double given) override { value += given; }
        void observe(double) override { value += 1; }
        double value = 0;
    };

    Counter& counter(std::string_view name, std::string_view, LabelList labels) override
    {
        return cell(name, labels);
    }
    Gauge& gauge(std::string_view name, std::string_view, LabelList labels) override
    {
        return cell(name, labels);
    }
    Histogram& histogram(std::string_view name, std::string_view, LabelList labels) override
    {
        return cell(name, labels);
    }
    void before_scrape(std::function<void()> refresh) override
    {
        refresh_.push_back(std::move(refresh));
    }

    double value(const std::string& key)
    {
        for (const auto& refresh : refresh_)
            refresh();
        const auto found = cells_.find(key);
        return found == cells_.end() ? -1 : found->second.value;
    }

private:
    Cell& cell(std::string_view name, const LabelList& labels)
    {
        std::string key{name};
        for (const auto& [label, value] : labels)
            key += "," + label + "=" + value;
        return cells_[key];
    }

    std::map<std::string, Cell> cells_;
    std::vector<std::function<void()>> refresh_;
};

/// A store as the environment asks for it.
class StoreBench {
public:
    StoreBench()
    {
        Environment environment{read_environment(environ)};
        const StoreOptions options = read_store_options(environment);
        for (const std::string& fault : environment.faults())
            std::fprintf(stderr, "%s\n", fault.c_str());
        if (!environment.faults().empty()) std::exit(2);
        auto made = make_store(io, options, log, metrics);
        if (!made) {
            std::fprintf(stderr, "%s\n", made.error().text().c_str());
            std::exit(1);
        }
        store = std::move(*made);
    }
    ~StoreBench()
    {
        if (store) wait(store->close());
    }
    StoreBench(const StoreBench&) = delete;
    StoreBench& operator=(const StoreBench&) = delete;

    /// Runs the loop until `work` is done; its outcome.
    template <class T>
    T wait(asio::awaitable<T> work)
    {
        std::optional<T> outcome;
        asio::co_spawn(io, std::move(work), [&](const std::exception_ptr& thrown, T value) {
            if (thrown) std::rethrow_exception(thrown);
            outcome.emplace(std::move(value));
        });
        run_until([&] { return outcome.has_value(); });
        return std::move(*outcome);
    }
    void wait(asio::awaitable<void> work)
    {
        bool done = false;
        asio::co_spawn(io, std::move(work), [&](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
            done = true;
        });
        run_until([&] { return done; });
    }

    template <class Done>
    void run_until(Done done, std::chrono::seconds limit = std::chrono::seconds{60})
    {
        const auto until = std::chrono::steady_clock::now() + limit;
        while (!done()) {
            CLUSTER_CHECK(std::chrono::steady_clock::now() < until, "a call does not end");
            io.restart();
            io.run_one_for(std::chrono::milliseconds{100});
        }
    }

    [[nodiscard]] std::int64_t now() const { return clock.wall_ms(); }
    [[nodiscard]] std::string id() const { return new_id(now()); }

    asio::io_context io{1};
    ipc::SystemClock clock;
    LineSink out{STDOUT_FILENO};
    LineSink err{STDERR_FILENO};
    LineLog log{clock, LogLevel::info, LogFormat::json, out, err};
    KeptMetrics metrics;
    std::unique_ptr<Store> store;
};

} // namespace cluster::app::test
