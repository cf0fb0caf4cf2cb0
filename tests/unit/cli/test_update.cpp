#include "cli/update.hpp"

#include <doctest/doctest.h>

using namespace cluster::cli;

namespace {

const json kWent{{"serial", 3}, {"from", "0.1.0"}, {"to", "0.1.1"},
                 {"ok", true},  {"reason", ""},    {"gap_ms", 7}};
const json kDied{{"serial", 3}, {"from", "0.1.0"},     {"to", "0.1.1"},
                 {"ok", false}, {"reason", "it died"}, {"gap_ms", 7}};

} // namespace

TEST_CASE("update: only rows that have a process count")
{
    const json processes{{{"id", 0}, {"pid", 50}}, {{"id", 1}, {"pid", 0}}, {{"id", 2}}};
    CHECK(running_in(processes) == Running{{0, 50}});
}

TEST_CASE("update: a worker is untouched when its row has the same process as before")
{
    const UpdateReport report =
        report_update(kWent, {{0, 50}, {1, 51}, {2, 52}}, {{0, 50}, {1, 99}, {3, 60}});
    CHECK(report.untouched == 1);
    CHECK(report.changed == std::vector<std::int64_t>{1, 2});
}

TEST_CASE("update: one line says how it went")
{
    CHECK(update_text(report_update(kWent, {{0, 50}, {1, 51}}, {{0, 50}, {1, 51}})) ==
          "clusterd 0.1.0 -> 0.1.1, 2 workers untouched, gap 7 ms");
    CHECK(update_text(report_update(kWent, {{0, 50}}, {{0, 50}})) ==
          "clusterd 0.1.0 -> 0.1.1, 1 worker untouched, gap 7 ms");
    CHECK(update_text(report_update(kDied, {{0, 50}}, {{0, 50}})) ==
          "clusterd 0.1.1 did not take over: it died; clusterd 0.1.0 goes on, 1 worker untouched");
}

TEST_CASE("update: the same as JSON")
{
    CHECK(update_json(report_update(kDied, {{0, 50}, {1, 51}}, {{0, 50}})) ==
          json{{"from", "0.1.0"},
               {"to", "0.1.1"},
               {"ok", false},
               {"reason", "it died"},
               {"gap_ms", 7},
               {"workers", {{"untouched", 1}, {"changed", {1}}}}});
}

TEST_CASE("update: when nobody tells how it went, the version that serves does")
{
    const json begun{{"serial", 3}, {"from", "0.1.0"}, {"to", "0.1.1"}};
    CHECK(update_text(report_update(outcome_without_word(begun, "0.1.1"), {{0, 50}}, {{0, 50}})) ==
          "clusterd 0.1.0 -> 0.1.1, 1 worker untouched");
    CHECK(update_text(report_update(outcome_without_word(begun, "0.1.0"), {{0, 50}}, {{0, 50}})) ==
          "clusterd 0.1.1 did not take over: the daemon was killed in the middle of it; ask again; "
          "clusterd 0.1.0 goes on, 1 worker untouched");
    // It was killed before it had answered.
    CHECK(update_text(report_update(outcome_without_word(nullptr, "0.1.0"), {}, {})) ==
          "clusterd (new) did not take over: the daemon was killed in the middle of it; ask again; "
          "clusterd 0.1.0 goes on, 0 workers untouched");
    CHECK(update_json(report_update(outcome_without_word(begun, "0.1.1"), {}, {}))["gap_ms"] ==
          nullptr);
}
