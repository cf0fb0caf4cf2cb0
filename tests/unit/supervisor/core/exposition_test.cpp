#include "supervisor/core/exposition.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace cluster::supervisor;

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
