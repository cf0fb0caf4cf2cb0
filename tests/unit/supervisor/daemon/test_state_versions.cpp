// Texts that another version wrote, and texts that nobody did.
#include "supervisor/daemon/state.hpp"

#include "tests/unit/supervisor/daemon/shown_state.hpp"
#include "tests/unit/supervisor/daemon/state_text.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <random>
#include <string>
#include <string_view>
#include <utility>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using nlohmann::json;

namespace {

/// One app, two workers, of which one runs.
std::string good_text()
{
    Machine m;
    Worker& first = m.add(named_app());
    m.supervisor.add(first.app, 1);
    m.supervisor.ask(first, Event::start_asked, "test");
    REQUIRE(m.until(first, State::online));
    return text_of(m);
}

/// The good state with one value changed or, as `null`, taken away.
std::string with(const char* pointer, const json& value)
{
    json state = json::parse(good_text());
    const json::json_pointer at{pointer};
    if (value.is_null())
        state.at(at.parent_pointer()).erase(at.back());
    else
        state[at] = value;
    return state.dump() + "\n";
}

/// As version 1.0 wrote it: `start app.sh --name api -i 2`, `stop 1`.
const std::string kVersion1 =
    R"({"apps":[{"environment":0,"spec":{"cwd":"/srv","instances":2,"interpreter":"/usr/bin/bash",)"
    R"("name":"api","script":"/srv/app.sh"}}],"environments":[{"CLUSTER_HOME":"/home/u/.clusterctl",)"
    R"("HOME":"/root","LANG":"C.UTF-8","PATH":"/usr/bin:/bin"}],"version":1,"workers":[{"app":0,)"
    R"("id":0,"instance":0,"restarts":3,"unique_id":"bf8851d7-29a5-412f-b22b-155f8c01de55",)"
    R"("wanted":true},{"app":0,"id":1,"instance":1,"restarts":0,)"
    R"("unique_id":"753e4f46-9be9-47c3-9fc6-119fc4b36b00","wanted":false}]})"
    "\n";

} // namespace

TEST_CASE("state: members that a later version has are ignored, at any place")
{
    json state = json::parse(good_text());
    const json want = shown(read(good_text()));
    const json stranger = {{"deep", {1, "two", nullptr, 0.5, 1e300}}};
    for (const char* pointer :
         {"/later", "/workers/0/later", "/apps/0/later", "/environments/0/later"})
        state[json::json_pointer{pointer}] = stranger;
    json got = shown(read(state.dump() + "\n"));
    json wanted = want;
    // Each good_text() is a machine of its own: its pipes have other inodes.
    for (json* one : {&got, &wanted})
        for (json& row : (*one)["rows"])
            for (const char* name : {"out", "err"})
                row[name] = 0;
    CHECK(got == wanted);
}

TEST_CASE("state: a version says who can read it")
{
    CHECK(json::parse(good_text())["version"] == kStateVersion);
    CHECK(json::parse(good_text())["readable_by"] == kStateReadableBy);
    const struct {
        json version, readable_by;
        const char* refused; ///< "" it is read
    } rows[] = {
        {2, 2, ""},
        {2, nullptr, ""},
        {3, 2, ""},
        {9, 2, ""},
        {3, 3, "its version is 3, this daemon reads up to 2"},
        {9, 8, "its version is 9, this daemon reads up to 2"},
        {3, nullptr, "its version is 3, this daemon reads up to 2"},
    };
    for (const auto& row : rows) {
        json state = json::parse(good_text());
        state["version"] = row.version;
        if (row.readable_by.is_null())
            state.erase("readable_by");
        else
            state["readable_by"] = row.readable_by;
        CAPTURE(row.version.dump());
        CAPTURE(row.readable_by.dump());
        const auto got = parse_state(state.dump() + "\n");
        CHECK(got.has_value() == std::string_view{row.refused}.empty());
        if (!got) CHECK(got.error() == row.refused);
        if (got) CHECK(got->workers.size() == 2);
    }
}

TEST_CASE("state: version 1 is read: rows and what was wanted, nothing about processes")
{
    const SavedState state = read(kVersion1);
    CHECK(state.version == 1);
    CHECK(state.boot_id.empty());
    REQUIRE(state.workers.size() == 2);
    const auto& [first_key, first] = *state.workers.begin();
    const auto& [second_key, second] = *state.workers.rbegin();
    CHECK(first_key != 0); // 0 is no key
    CHECK(first.known.record.key == first_key);
    CHECK(first.known.record.id == 0);
    CHECK(first.known.record.instance == 0);
    CHECK(first.known.record.unique_id == "bf8851d7-29a5-412f-b22b-155f8c01de55");
    CHECK(first.known.record.life.restarts == 3);
    CHECK(first.known.record.life.state == State::stopped);
    CHECK(first.known.record.pid == 0);
    CHECK(first.wanted);
    CHECK(second.known.record.key == second_key);
    CHECK(second.known.record.id == 1);
    CHECK(second.known.record.instance == 1);
    CHECK_FALSE(second.wanted);
    const SavedApp& saved = state.apps.at(first.app);
    CHECK(saved.spec.script == "/srv/app.sh");
    CHECK(saved.spec.instances == ipc::Instances{.relative = false, .count = 2});
    CHECK(state.environments.at(saved.environment)->at("LANG") == "C.UTF-8");

    const std::pair<const char*, const char*> damages[] = {
        {R"("id":0)", R"("id":"0")"},
        {R"("app":0)", R"("app":7)"},
        {R"("app":0)", R"("app":-1)"},
        {R"("environment":0)", R"("environment":2)"},
        {R"("instances":2)", R"("instances":"many")"},
        {R"("workers")", R"("walkers")"},
        {R"("wanted":true)", R"("wanted":1)"},
        {R"("LANG":"C.UTF-8")", R"("LANG":1)"},
    };
    for (const auto& [from, to] : damages) {
        CAPTURE(to);
        std::string text = kVersion1;
        text.replace(text.find(from), std::string_view{from}.size(), to);
        const auto damaged = parse_state(text);
        CHECK_FALSE(damaged);
        if (!damaged) CHECK_FALSE(damaged.error().empty());
    }
}

TEST_CASE("state: a row without an id has the id 0, which was left out once")
{
    const SavedState state = read(with("/workers/0/id", nullptr));
    REQUIRE(state.workers.size() == 2);
    CHECK(state.workers.begin()->second.known.record.id == 0);
    CHECK(state.workers.rbegin()->second.known.record.id == 1);
    CHECK_FALSE(parse_state(with("/workers/1/id", nullptr))); // the other one has it
}

TEST_CASE("state: a text that is no state is refused with a reason")
{
    const std::string good = good_text();
    REQUIRE(parse_state(good));
    const std::pair<std::string, std::string> rows[] = {
        {"nothing", ""},
        {"a blank line", "\n"},
        {"half a file", good.substr(0, good.size() / 2)},
        {"no object", "[]\n"},
        {"a number", "2\n"},
        {"a version of a wrong type", with("/version", "2")},
        {"no version", with("/version", nullptr)},
        {"no workers", with("/workers", nullptr)},
        {"workers of a wrong type", with("/workers", 5)},
        {"workers that are an object", with("/workers", json::object())},
        {"a worker that is a list", with("/workers/0", json::array())},
        {"a worker without a key", with("/workers/0/key", nullptr)},
        {"a key of a wrong type", with("/workers/0/key", "1")},
        {"two workers in one place", with("/workers/1/id", 0)},
        {"an id of a wrong type", with("/workers/0/id", "0")},
        {"wanted of a wrong type", with("/workers/0/wanted", 1)},
        {"a pid of a wrong type", with("/workers/0/pid", "7")},
        {"a state of a wrong type", with("/workers/0/state", 7)},
        {"a status of one number", with("/workers/0/last_status", json::array({1}))},
        {"a time that no integer holds", with("/workers/0/started_at", 1e30)},
        {"a pid that no pid_t holds", with("/workers/0/pid", 1e15)},
        {"a key that is negative and not whole", with("/workers/0/key", -1.5)},
        {"sockets of a wrong type", with("/workers/0/sockets", {"a"})},
        {"an app that is not there", with("/workers/0/app", 99)},
        {"a negative app", with("/workers/0/app", -1)},
        {"an environment that is not there", with("/apps/0/environment", 7)},
        {"an environment of numbers", with("/environments/0/values/USER", 1)},
        {"a faulty app", with("/apps/0/spec/instances", "many")},
        {"a faulty part", good + "{\"removed\":[\"a\"]}\n"},
        {"a part that is no JSON", good + "rubbish\n"},
        {"a part that leads nowhere", good + "{\"workers\":[{\"key\":9,\"id\":9,\"app\":99}]}\n"},
        {"a list in a list in …", std::string(100'000, '[') + "\n"},
    };
    for (const auto& [name, text] : rows) {
        CAPTURE(name);
        const auto state = parse_state(text);
        CHECK_FALSE(state);
        if (!state) CHECK_FALSE(state.error().empty());
    }
}

TEST_CASE("state: random damage never does more than being refused")
{
    std::minstd_rand chance{20'261}; // printed where a round fails
    const std::string good = good_text() + "{\"removed\":[2],\"held\":[]}\n";
    const std::string likely = "\"{}[]:,0179-e.\n\\ntfu";
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
        CAPTURE(round);
        std::string text = good;
        const auto any = [&](std::size_t below) { return chance() % below; };
        for (std::size_t count = 1 + any(3); count > 0; --count) {
            const std::size_t at = any(text.size());
            switch (any(4)) {
            case 0:
                text[at] = likely[any(likely.size())];
                break;
            case 1:
                text[at] = static_cast<char>(any(256));
                break;
            case 2:
                text.erase(at, 1 + any(20));
                break;
            default:
                text.insert(at, text.substr(any(text.size()), any(40)));
                break;
            }
        }
        const auto state = parse_state(text);
        if (state) continue;
        ++refused;
        CHECK_FALSE(state.error().empty());
    }
    CHECK(refused > 1000);
}
