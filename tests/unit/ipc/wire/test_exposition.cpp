#include "ipc/wire/exposition.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace cluster::ipc;

namespace {

constexpr Metric kTasks{"x_tasks", MetricType::gauge, "Processes \\ and\nthreads."};
constexpr Metric kEnds{"x_ends_total", MetricType::counter, "Ends."};

} // namespace

TEST_CASE("exposition: says what a metric is once, before its first sample")
{
    std::string out;
    Exposition to{out};
    to.begin(kTasks);
    to.sample(Labels{{"app", "a"}}, std::uint64_t{3});
    to.sample(Labels{}, std::uint64_t{18446744073709551615U});
    to.begin(kEnds);
    to.sample(Labels{}, 0.5);
    CHECK(out == "# HELP x_tasks Processes \\\\ and\\nthreads.\n# TYPE x_tasks gauge\n"
                 "x_tasks{app=\"a\"} 3\nx_tasks 18446744073709551615\n"
                 "# HELP x_ends_total Ends.\n# TYPE x_ends_total counter\nx_ends_total 0.5\n");
}

TEST_CASE("exposition: a metric without samples leaves nothing")
{
    std::string out;
    Exposition{out}.begin(kTasks);
    CHECK(out.empty());
}

TEST_CASE("exposition: values of labels are escaped, and labels can be added")
{
    const Labels labels{{"app", "a\"b\\c\nd"}};
    CHECK(labels.with("slot", "0").text() == R"(app="a\"b\\c\nd",slot="0")");
    CHECK(labels.text() == R"(app="a\"b\\c\nd")");
}

TEST_CASE("exposition: numbers that are none")
{
    std::string out;
    Exposition to{out};
    to.begin(kEnds);
    to.sample(Labels{}, std::numeric_limits<double>::infinity());
    to.sample(Labels{}, -std::numeric_limits<double>::infinity());
    to.sample(Labels{}, std::nan(""));
    to.sample(Labels{}, 1795349425.55);
    CHECK(out.ends_with("x_ends_total +Inf\nx_ends_total -Inf\nx_ends_total NaN\n"
                        "x_ends_total 1795349425.55\n"));
}

TEST_CASE("exposition: a histogram's buckets hold all below their bound")
{
    constexpr Metric kWaits{"x_wait_seconds", MetricType::histogram, "Waits."};
    constexpr double kBounds[] = {0.0005, 1};
    constexpr std::uint64_t kCounts[] = {1, 2, 4};
    std::string out;
    Exposition to{out};
    to.begin(kWaits);
    to.histogram(Labels{{"app", "a"}}, kBounds, kCounts, 9.25);
    to.histogram(Labels{}, {}, std::span{kCounts}.first(1), 0);
    CHECK(out == "# HELP x_wait_seconds Waits.\n# TYPE x_wait_seconds histogram\n"
                 "x_wait_seconds_bucket{app=\"a\",le=\"0.0005\"} 1\n"
                 "x_wait_seconds_bucket{app=\"a\",le=\"1\"} 3\n"
                 "x_wait_seconds_bucket{app=\"a\",le=\"+Inf\"} 7\n"
                 "x_wait_seconds_sum{app=\"a\"} 9.25\nx_wait_seconds_count{app=\"a\"} 7\n"
                 "x_wait_seconds_bucket{le=\"+Inf\"} 1\n"
                 "x_wait_seconds_sum 0\nx_wait_seconds_count 1\n");
}
