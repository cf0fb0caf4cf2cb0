#include "supervisor/core/health.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using std::chrono::milliseconds;

namespace {

const Answer kGood{.good = true};
const Answer kBad{.good = false, .why = "no", .age = milliseconds{20'000}};
const Answer kEarly{.good = false, .why = "early", .age = milliseconds{9'999}};
const Answer kJustLate{.good = false, .why = "late", .age = milliseconds{10'000}};

ipc::Probe three_failures()
{
    ipc::Probe probe;
    probe.failures = 3;
    probe.start_period = milliseconds{10'000};
    return probe;
}

} // namespace

TEST_CASE("health: so many bad answers in a row after the start period are one verdict")
{
    const struct {
        const char* name;
        std::vector<Answer> answers;
        int unhealthy; ///< how many times
        const char* shown;
    } rows[] = {
        {"nothing is known at first", {}, 0, "starting"},
        {"one good answer is enough", {kGood}, 0, "passing"},
        {"a bad one is a beginning", {kBad}, 0, "failing (1 of 3): no"},
        {"two are not three", {kBad, kBad}, 0, "failing (2 of 3): no"},
        {"three are", {kBad, kBad, kBad}, 1, "failing (3 of 3): no"},
        {"it is told once", {kBad, kBad, kBad, kBad, kBad}, 1, "failing (3 of 3): no"},
        {"a good answer starts the count anew",
         {kBad, kBad, kGood, kBad, kBad},
         0,
         "failing (2 of 3): no"},
        {"it passes again", {kBad, kBad, kBad, kGood}, 1, "passing"},
        {"a second row of three is told again",
         {kBad, kBad, kBad, kGood, kBad, kBad, kBad},
         2,
         "failing (3 of 3): no"},
        {"early failures do not count", {kEarly, kEarly, kEarly, kEarly}, 0, "starting"},
        {"nor after a good answer", {kGood, kEarly, kEarly, kEarly}, 0, "passing"},
        {"the start period ends on the millisecond",
         {kEarly, kJustLate},
         0,
         "failing (1 of 3): late"},
        {"early ones are not made up for", {kEarly, kEarly, kBad}, 0, "failing (1 of 3): no"},
        {"the last reason is shown", {kBad, kJustLate}, 0, "failing (2 of 3): late"},
    };
    const ipc::Probe probe = three_failures();
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Health health;
        int unhealthy = 0;
        for (const Answer& answer : row.answers) {
            HealthStep step = judge_health(std::move(health), answer, probe);
            CHECK(step.verdict != HealthVerdict::ready);
            if (step.verdict == HealthVerdict::unhealthy) ++unhealthy;
            health = std::move(step.health);
        }
        CHECK(unhealthy == row.unhealthy);
        CHECK(health_text(health, probe) == row.shown);
    }
}

TEST_CASE("health: one failure may be enough, and a reason is not needed")
{
    ipc::Probe probe;
    probe.failures = 1;
    const HealthStep step = judge_health({}, {.good = false}, probe);
    CHECK(step.verdict == HealthVerdict::unhealthy);
    CHECK(health_text(step.health, probe) == "failing (1 of 1)");
}

TEST_CASE("ready: the first good answer, once, however many bad ones came before")
{
    const struct {
        const char* name;
        std::vector<Answer> answers;
        int ready_at; ///< index of the answer that brings it, -1 none
        const char* why;
    } rows[] = {
        {"the first answer", {kGood}, 0, ""},
        {"after bad ones", {kEarly, kBad, kBad, kBad, kBad, kGood}, 5, ""},
        {"told once", {kGood, kGood, kBad, kGood}, 0, ""},
        {"never, and the last reason is known", {kBad, kEarly}, -1, "early"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Health health;
        std::vector<int> ready;
        for (int i = 0; i < static_cast<int>(row.answers.size()); ++i) {
            HealthStep step = judge_ready(std::move(health), row.answers[static_cast<size_t>(i)]);
            if (step.verdict == HealthVerdict::ready) ready.push_back(i);
            health = std::move(step.health);
        }
        CHECK(ready == (row.ready_at < 0 ? std::vector<int>{} : std::vector<int>{row.ready_at}));
        CHECK(health.why == row.why);
        CHECK(health_text(health, {}) == (row.ready_at < 0 ? "starting" : "passing"));
    }
}
