#include "cli/aftermath.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::cli;

namespace {

constexpr std::int64_t kAsked = 1'000'000;

json row(int id, const char* status, std::int64_t started_at = kAsked + 5, int restarts = 0)
{
    return {{"id", id},
            {"name", "api"},
            {"status", status},
            {"started_at", started_at},
            {"restarts", restarts}};
}

Change asked(const char* method, std::int64_t count = 0)
{
    return {.method = method, .targets = json::array({"api"}), .asked_at = kAsked, .count = count};
}

Aftermath rows(const std::vector<json>& processes, const std::vector<std::string>& missing = {},
               const std::vector<std::string>& reloading = {})
{
    return {.processes = processes, .missing = missing, .reloading = reloading};
}

} // namespace

TEST_CASE("aftermath: what became of a request shows in the rows")
{
    const struct {
        const char* name;
        Change change;
        Aftermath now;
        Become want;
    } table[] = {
        {"all stopped", asked("stop"), rows({row(0, "stopped"), row(1, "stopped")}), Become::done},
        {"one still stops", asked("stop"), rows({row(0, "stopped"), row(1, "stopping")}),
         Become::under_way},
        {"the stop never came", asked("stop"), rows({row(0, "online")}), Become::otherwise},
        {"one was not stopped", asked("stop"), rows({row(0, "stopped"), row(1, "online")}),
         Become::otherwise},
        {"deleted", asked("delete"), rows({}, {"api"}), Become::done},
        {"being deleted", asked("delete"), rows({row(0, "stopping")}), Become::under_way},
        {"not deleted", asked("delete"), rows({row(0, "stopped")}), Become::otherwise},
        {"a target is gone, the other one is not", asked("delete"), rows({row(0, "online")}, {"1"}),
         Become::otherwise},
        {"started", asked("start"), rows({row(0, "online")}), Become::done},
        {"getting up", asked("start"), rows({row(0, "launching")}), Become::under_way},
        {"waits to be tried again", asked("start"), rows({row(0, "waiting restart")}),
         Become::under_way},
        {"failed", asked("start"), rows({row(0, "errored")}), Become::otherwise},
        {"never declared", asked("start"), rows({}, {"api"}), Become::otherwise},
        {"one app came up, the other was never declared", asked("start"),
         rows({row(0, "online")}, {"job"}), Become::otherwise},
        {"restarted", asked("restart"), rows({row(0, "online", kAsked)}), Become::done},
        {"the old process", asked("restart"), rows({row(0, "online", kAsked - 1)}),
         Become::otherwise},
        {"reloaded", asked("reload"), rows({row(0, "online")}), Become::done},
        {"between two slots", asked("reload"),
         rows({row(0, "online"), row(1, "online", kAsked - 1)}, {}, {"api"}), Become::under_way},
        {"somebody else's reload", asked("reload"), rows({row(0, "online")}, {}, {"other"}),
         Become::done},
        {"rolled back", asked("reload"), rows({row(0, "online", kAsked - 1)}), Become::otherwise},
        {"as many as asked", asked("scale", 2), rows({row(0, "online", 1), row(1, "online")}),
         Become::done},
        {"too few", asked("scale", 2), rows({row(0, "online", 1)}), Become::otherwise},
        {"nobody knows how many +2 are", asked("scale"), rows({row(0, "online")}),
         Become::otherwise},
        {"reset", asked("reset"), rows({row(0, "online", 1, 0)}), Become::done},
        {"not reset", asked("reset"), rows({row(0, "online", 1, 3)}), Become::otherwise},
        {"resurrected", asked("resurrect"), rows({row(0, "online", 1), row(1, "stopped")}),
         Become::done},
    };
    for (const auto& line : table) {
        CAPTURE(line.name);
        CHECK(what_became(line.change, line.now) == line.want);
    }
}

TEST_CASE("aftermath: the rows that a request is about are known from its params")
{
    const struct {
        const char* name;
        const char* method;
        json params;
        std::vector<std::string> targets;
        std::int64_t count;
    } table[] = {
        {"targets", "stop", {{"targets", {"api", "2"}}}, {"api", "2"}, 0},
        {"apps of a file",
         "start",
         {{"apps", {{{"name", "api"}}, {{"name", "job"}}}}},
         {"api", "job"},
         0},
        {"a number of instances", "scale", {{"name", "api"}, {"instances", 4}}, {"api"}, 4},
        {"more instances", "scale", {{"name", "api"}, {"instances", "+2"}}, {"api"}, 0},
        {"everything", "resurrect", json::object(), {"all"}, 0},
    };
    for (const auto& line : table) {
        CAPTURE(line.name);
        const Change change = change_of(line.method, line.params, kAsked);
        CHECK(change.targets == json(line.targets));
        CHECK(change.count == line.count);
        CHECK(change.asked_at == kAsked);
    }
}
