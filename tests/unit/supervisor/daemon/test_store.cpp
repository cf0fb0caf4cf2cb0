#include "supervisor/daemon/store.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <cerrno>
#include <chrono>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;
using nlohmann::json;

namespace {

const std::string kPath = "/home/u/.clusterctl/state.json";

ipc::AppSpec app(std::string name)
{
    ipc::AppSpec spec;
    spec.name = std::move(name);
    return spec;
}

/// A state that a daemon would write: one app with two workers, one of them running.
std::string good_text()
{
    tests::Machine m;
    auto spec = app("api");
    spec.script = "/srv/app";
    spec.cwd = "/srv";
    spec.env = {{"COLOUR", "red"}};
    spec.instances = ipc::Instances{.relative = false, .count = 2};
    spec.kill_timeout = std::chrono::milliseconds{1234};
    const auto declared = m.supervisor.declare(
        spec, std::make_shared<const ipc::Environment>(ipc::Environment{{"USER", "u"}}));
    REQUIRE(declared);
    Worker& first = m.supervisor.add(*declared, 0);
    m.supervisor.add(*declared, 1);
    first.life.restarts = 4;
    m.supervisor.ask(first, Event::start_asked, "test");
    REQUIRE(m.until(first, State::online));
    return state_text(m.supervisor);
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
    return state.dump();
}

} // namespace

TEST_CASE("store: what is written is what is read")
{
    const auto state = parse_state(good_text());
    REQUIRE(state);
    REQUIRE(state->apps.size() == 1); // shared by both workers
    const SavedApp& saved = state->apps[0];
    CHECK(saved.spec.name == "api");
    CHECK(saved.spec.env == ipc::Environment{{"COLOUR", "red"}});
    CHECK(saved.spec.instances == ipc::Instances{.relative = false, .count = 2});
    CHECK(saved.spec.kill_timeout == std::chrono::milliseconds{1234});
    CHECK(*saved.inherited == ipc::Environment{{"USER", "u"}});
    REQUIRE(state->workers.size() == 2);
    CHECK(state->workers[0].id == 0);
    CHECK(state->workers[0].wanted);
    CHECK(state->workers[0].restarts == 4);
    CHECK_FALSE(state->workers[0].unique_id.empty());
    CHECK(state->workers[1].instance == 1);
    CHECK_FALSE(state->workers[1].wanted);
}

TEST_CASE("store: what is wanted is what was asked last, whatever is under way")
{
    tests::Machine m;
    struct Row {
        State state;
        After after;
        bool wanted;
    };
    const Row rows[] = {
        {State::stopped, After::nothing, false},        {State::launching, After::nothing, true},
        {State::online, After::nothing, true},          {State::stopping, After::nothing, false},
        {State::stopping, After::start, true},          {State::stopping, After::remove, false},
        {State::waiting_restart, After::nothing, true}, {State::errored, After::nothing, true},
    };
    Worker& worker = m.add(app("api"));
    for (const Row& row : rows) {
        CAPTURE(name_of(row.state));
        worker.life.state = row.state;
        worker.life.after = row.after;
        const auto state = parse_state(state_text(m.supervisor));
        REQUIRE(state);
        CHECK(state->workers.at(0).wanted == row.wanted);
    }
}

TEST_CASE("store: a text that is no state of this version is refused with a reason")
{
    const std::string good = good_text();
    REQUIRE(parse_state(good));
    const std::pair<const char*, std::string> rows[] = {
        {"nothing", ""},
        {"half a file", good.substr(0, good.size() / 2)},
        {"no object", "[]"},
        {"another version", with("/version", 2)},
        {"a version of a wrong type", with("/version", "1")},
        {"no version", with("/version", nullptr)},
        {"no workers", with("/workers", nullptr)},
        {"workers of a wrong type", with("/workers", 5)},
        {"a worker without an id", with("/workers/0/id", nullptr)},
        {"an id of a wrong type", with("/workers/0/id", "0")},
        {"wanted of a wrong type", with("/workers/0/wanted", 1)},
        {"an app that is not there", with("/workers/0/app", 1)},
        {"a negative index", with("/workers/0/app", -1)},
        {"an environment that is not there", with("/apps/0/environment", 7)},
        {"an environment of numbers", with("/environments/0/USER", 1)},
        {"a faulty app", with("/apps/0/spec/instances", "many")},
    };
    for (const auto& [name, text] : rows) {
        CAPTURE(name);
        const auto state = parse_state(text);
        REQUIRE_FALSE(state);
        CHECK_FALSE(state.error().empty());
    }
    CHECK(parse_state(with("/version", 2)).error() == "its version is 2, this daemon reads 1");
}

TEST_CASE("store: no file is no state and no complaint")
{
    tests::Machine m;
    Store store{m.loop, m.system, m.log, kPath};
    CHECK_FALSE(store.load());
    CHECK(m.log.lines.empty());
}

TEST_CASE("store: a file that cannot be used is kept beside, never overwritten")
{
    const std::string half = good_text().substr(0, 40);
    for (const bool unreadable : {false, true}) {
        CAPTURE(unreadable);
        tests::Machine m;
        m.system.files[kPath] = half;
        if (unreadable) m.system.fail_always("read " + kPath, EIO);
        Store store{m.loop, m.system, m.log, kPath};
        CHECK_FALSE(store.load());
        CHECK(m.system.files[kPath + ".bad"] == half);
        REQUIRE(m.log.lines.size() == 1);
        CHECK(m.log.lines[0].find(kPath + ".bad") != std::string::npos);
        store.save("new\n");
        store.flush();
        CHECK(m.system.files[kPath] == "new\n");
        CHECK(m.system.files[kPath + ".bad"] == half);
    }
}

TEST_CASE("store: the newest text wins, and flush waits for it")
{
    tests::Machine m;
    Store store{m.loop, m.system, m.log, kPath};
    for (const char* text : {"one", "two", "three"})
        store.save(text);
    store.flush();
    CHECK(m.system.files[kPath] == "three");
}

TEST_CASE("store: without a flush it is written as well")
{
    tests::Machine m;
    Store store{m.loop, m.system, m.log, kPath};
    store.save("one");
    store.save("two");
    // The loop goes on until the last one is out. Its length says that both threads have ended.
    m.loop.run_for(std::chrono::seconds{20});
    store.flush();
    CHECK(m.system.files[kPath] == "two");
}

TEST_CASE("store: whichever call fails, the file is the old one or the new one, whole")
{
    int calls = 0;
    {
        tests::Machine m;
        m.system.files[kPath] = "old";
        m.system.calls.clear();
        Store store{m.loop, m.system, m.log, kPath};
        store.save("new");
        store.flush();
        calls = static_cast<int>(m.system.calls.size());
        CHECK(m.system.files[kPath] == "new");
        CHECK(m.system.count("fsync") == 1);
    }
    REQUIRE(calls >= 4); // open, write, fsync, rename
    for (int nth = 1; nth <= calls; ++nth) {
        CAPTURE(nth);
        tests::Machine m;
        m.system.files[kPath] = "old";
        Store store{m.loop, m.system, m.log, kPath};
        m.system.fail_nth(nth, ENOSPC);
        store.save("new");
        store.flush();
        CHECK(m.system.files[kPath] == "old");
        REQUIRE(m.log.lines.size() == 1);
        CHECK(m.log.lines[0].starts_with("state: "));
        store.save("newer"); // room again
        store.flush();
        CHECK(m.system.files[kPath] == "newer");
    }
}
