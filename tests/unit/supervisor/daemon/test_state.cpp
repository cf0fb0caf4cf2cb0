#include "supervisor/daemon/state.hpp"

#include "tests/unit/supervisor/daemon/shown_state.hpp"
#include "tests/unit/supervisor/daemon/state_text.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;
using nlohmann::json;

TEST_CASE("state: each field of a row is written and read")
{
    const ExitRecord crash{.at_wall_ms = 1'790'000'000'123,
                           .status = {.code = 3, .signal = 0},
                           .uptime = 45ms,
                           .reason = "exited with code 3 \"after\" 45 ms",
                           .errors = {"one\t", "zwei \xc3\xbc"}};
    const ExitRecord killed{.at_wall_ms = 7,
                            .status = {.code = 0, .signal = 9},
                            .uptime = 1ms,
                            .reason = {},
                            .errors = {}};
    const struct {
        std::string name;
        std::function<void(WorkerRecord&)> set;
    } rows[] = {
        {"instance", [](WorkerRecord& w) { w.instance = 3; }},
        {"unique_id", [](WorkerRecord& w) { w.unique_id = "another"; }},
        {"user_home", [](WorkerRecord& w) { w.user_home = "/home/other \n"; }},
        {"launching", [](WorkerRecord& w) { w.life.state = State::launching; }},
        {"online", [](WorkerRecord& w) { w.life.state = State::online; }},
        {"stopping", [](WorkerRecord& w) { w.life.state = State::stopping; }},
        {"waiting", [](WorkerRecord& w) { w.life.state = State::waiting_restart; }},
        {"errored", [](WorkerRecord& w) { w.life.state = State::errored; }},
        {"after start", [](WorkerRecord& w) { w.life.after = After::start; }},
        {"after remove", [](WorkerRecord& w) { w.life.after = After::remove; }},
        {"restarts", [](WorkerRecord& w) { w.life.restarts = 7; }},
        {"unstable_restarts", [](WorkerRecord& w) { w.life.unstable_restarts = 2; }},
        {"previous_delay", [](WorkerRecord& w) { w.life.previous_delay = 150ms; }},
        {"pid", [](WorkerRecord& w) { w.pid = 4'194'303; }},
        {"start_time", [](WorkerRecord& w) { w.start_time = 1ULL << 40U; }},
        {"tree", [](WorkerRecord& w) { w.tree = 77; }},
        {"started_at", [](WorkerRecord& w) { w.started_at = 1h; }},
        {"online_at", [](WorkerRecord& w) { w.online_at = 2h; }},
        {"created_at", [](WorkerRecord& w) { w.created_at = 3h; }},
        {"started_wall_ms", [](WorkerRecord& w) { w.started_wall_ms = 1'790'000'000'001; }},
        {"created_wall_ms", [](WorkerRecord& w) { w.created_wall_ms = 1'790'000'000'002; }},
        {"tree_killed", [](WorkerRecord& w) { w.tree_killed = true; }},
        {"kill_sent_at", [](WorkerRecord& w) { w.kill_sent_at = 4h; }},
        {"due_at", [](WorkerRecord& w) { w.due_at = 5h; }},
        {"cause", [](WorkerRecord& w) { w.cause = "stop asked by pid 7"; }},
        {"launch_fault", [](WorkerRecord& w) { w.launch_fault = "no such program"; }},
        {"unready", [](WorkerRecord& w) { w.unready = "no READY=1 within 3 s"; }},
        {"last status", [](WorkerRecord& w) { w.last_status = ipc::ExitStatus{0, SIGKILL}; }},
        {"last status 0", [](WorkerRecord& w) { w.last_status = ipc::ExitStatus{}; }},
        {"unknown end", [](WorkerRecord& w) { w.last_status = ipc::kUnknownExit; }},
        {"exits", [&](WorkerRecord& w) { w.exits = {crash, killed}; }},
        {"out_since", [](WorkerRecord& w) { w.out_since = 1ULL << 34U; }},
        {"err_since", [](WorkerRecord& w) { w.err_since = 1ULL << 33U; }},
        {"incoming", [](WorkerRecord& w) { w.incoming = true; }},
        {"must_listen", [](WorkerRecord& w) { w.must_listen = true; }},
        {"leave", [](WorkerRecord& w) { w.leave = Leave::drained; }},
        {"draining", [](WorkerRecord& w) { w.draining = true; }},
        {"told", [](WorkerRecord& w) { w.told = true; }},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Machine m;
        Worker& worker = m.add(named_app());
        const json before = shown(worker);
        CHECK(shown(read(text_of(m)).workers.at(worker.key).known.record) == before);
        row.set(worker);
        REQUIRE(shown(worker) != before);
        CHECK(shown(read(text_of(m)).workers.at(worker.key).known.record) == shown(worker));
    }
}

TEST_CASE("state: a running worker's descriptors are in it by their inodes")
{
    Machine m;
    auto spec = named_app();
    spec.listen = {{.text = "127.0.0.1:0", .name = "127.0.0.10"}};
    spec.wait_ready = true;
    spec.ready = ipc::ready_defaults(); // it asks over a socket of its own
    spec.interpreter = "/usr/bin/node";
    Worker& worker = m.add(spec);
    m.supervisor.ask(worker, Event::start_asked, "test");
    REQUIRE(m.until([&] { return worker.alive(); }));
    REQUIRE(worker.node);
    REQUIRE(worker.serving);

    const SavedState state = read(text_of(m));
    const KnownWorker& known = state.workers.at(worker.key).known;
    for (const std::uint64_t inode : {known.out, known.err, known.probe}) {
        CHECK(inode != 0);
        CHECK(m.keeper.fds.contains(inode));
    }
    CHECK(known.out == inode_of(worker.out->fd()));
    CHECK(known.err == inode_of(worker.err->fd()));
    CHECK(known.probe == inode_of(worker.probe_socket.get()));
    REQUIRE(known.sockets.size() == 1);
    CHECK(known.sockets[0] == inode_of(worker.sockets[0]->fd.get()));
    CHECK(known.node == worker.node->saved());
    CHECK_FALSE(known.node.empty());
    CHECK(known.serving == worker.serving->saved());
    CHECK_FALSE(known.serving.empty());
    REQUIRE(state.listeners.size() == 1);
    CHECK(state.listeners[0].address == "127.0.0.1:0");
    REQUIRE(state.listeners[0].sockets.size() == 1);
    CHECK(state.listeners[0].sockets[0].inode == known.sockets[0]);
    CHECK(state.listeners[0].sockets[0].live);
}

TEST_CASE("state: apps and the environments that they share are written once")
{
    Machine m;
    auto spec = named_app();
    spec.script = "/srv/app";
    spec.cwd = "/srv";
    spec.env = {{"COLOUR", "red"}};
    spec.kill_timeout = 1234ms;
    spec.cpu_max = 250; // a fraction in its text
    const auto user =
        std::make_shared<const ipc::Environment>(ipc::Environment{{"USER", "\"u\"\n"}});
    const auto api = m.supervisor.declare(spec, user).value();
    m.supervisor.add(api, 0);
    m.supervisor.add(api, 1);
    spec.name = "other";
    const auto other = m.supervisor.declare(spec, user).value();
    m.supervisor.add(other, 0);

    const SavedState state = read(text_of(m));
    REQUIRE(state.apps.size() == 2);
    CHECK(state.environments.size() == 1);
    CHECK(state.apps.at(api->number).spec == api->spec);
    CHECK(state.apps.at(other->number).spec == other->spec);
    CHECK(*state.environments.at(state.apps.at(api->number).environment) == *user);
    CHECK(state.next_id == 3);
}

TEST_CASE("state: halves of a reload are told from what is shown")
{
    Machine m;
    Worker& old = m.add(named_app());
    Worker& successor = m.supervisor.add_successor(old, old.app);
    SavedState state = read(text_of(m));
    CHECK_FALSE(state.workers.at(old.key).known.hidden);
    CHECK(state.workers.at(successor.key).known.hidden);
    CHECK(state.workers.at(successor.key).known.record.id == old.id);
    m.supervisor.promote(successor);
    state = read(text_of(m));
    CHECK(state.workers.at(old.key).known.hidden);
    CHECK_FALSE(state.workers.at(successor.key).known.hidden);
}

TEST_CASE("state: what is wanted is what was asked last, whatever is under way")
{
    Machine m;
    const struct {
        State state;
        After after;
        const char* waits_for;
        bool wanted;
    } rows[] = {
        {State::stopped, After::nothing, "", false},
        {State::stopped, After::nothing, "its turn", true},
        {State::launching, After::nothing, "", true},
        {State::online, After::nothing, "", true},
        {State::stopping, After::nothing, "", false},
        {State::stopping, After::start, "", true},
        {State::stopping, After::remove, "", false},
        {State::waiting_restart, After::nothing, "", true},
        {State::errored, After::nothing, "", true},
    };
    Worker& worker = m.add(named_app());
    for (const auto& row : rows) {
        CAPTURE(name_of(row.state));
        worker.life.state = row.state;
        worker.life.after = row.after;
        worker.waits_for = row.waits_for;
        CHECK(read(text_of(m)).workers.at(worker.key).wanted == row.wanted);
    }
}

TEST_CASE("state: what is under way beside the rows is written and read")
{
    Machine m;
    Worker& worker = m.add(named_app());
    auto changed = named_app();
    changed.script = "/srv/app";
    changed.cwd = "/srv";
    changed.kill_timeout = 7ms;
    const auto next = m.supervisor.declare(changed, worker.app->inherited).value(); // no row has it
    UnderWay under_way;
    under_way.reloads.push_back({.name = "api",
                                 .ids = {0, 4},
                                 .app = next,
                                 .cause = "reload",
                                 .on_step = {},
                                 .on_done = {}});
    under_way.reloads.push_back(
        {.name = "b", .ids = {}, .app = nullptr, .cause = "memory", .on_step = {}, .on_done = {}});
    const auto before =
        std::make_shared<const std::set<std::uint64_t>>(std::set<std::uint64_t>{1, 2});
    under_way.held = {
        {.key = 1, .event = Event::restart_asked, .cause = "start", .before = {}},
        {.key = 2, .event = Event::start_asked, .cause = "", .before = {}},
        {.key = 3, .event = Event::stop_asked, .cause = "stop", .before = before},
        {.key = 4, .event = Event::delete_asked, .cause = "delete", .before = before}};
    const SavedState state = read(text_of(m, under_way));
    const json all = shown(state);
    CHECK(all["reloads"] ==
          json({{"api", {0, 4}, next->number, "reload"}, {"b", json::array(), 0, "memory"}}));
    CHECK(state.apps.at(next->number).spec.kill_timeout == 7ms);
    CHECK(all["held"] == json({{1, "restart_asked", "start", nullptr},
                               {2, "start_asked", "", nullptr},
                               {3, "stop_asked", "stop", {1, 2}},
                               {4, "delete_asked", "delete", {1, 2}}}));
    for (const Ending ending : {Ending::none, Ending::stop, Ending::kill}) {
        under_way.ending = ending;
        CHECK(read(text_of(m, under_way)).ending == ending);
    }
}

TEST_CASE("state: a part replaces what it names and leaves the rest")
{
    const std::string first =
        R"({"version":2,"readable_by":2,"boot_id":"b","next_id":3,)"
        R"("environments":[{"number":1,"values":{"A":"1"}}],)"
        R"("apps":[{"number":1,"spec":{"name":"api","script":"/srv/a","cwd":"/srv"},"environment":1}],)"
        R"("workers":[{"key":1,"id":0,"app":1,"cause":"x"},{"key":2,"id":1,"app":1}],)"
        R"("listeners":[{"address":"80","sockets":[{"inode":5,"live":true}]}],)"
        R"("node":{"api":{"a":1}},"reloads":[{"name":"api","ids":[0],"app":1}],)"
        R"("held":[{"key":2,"event":"start_asked"}]})"
        "\n";
    const json before = shown(read(first));
    const struct {
        std::string name;
        std::string part;
        std::vector<std::pair<const char*, json>> changes; ///< of the state as shown
    } rows[] = {
        {"nothing", "{}", {}},
        {"an id", R"({"next_id":9})", {{"/next_id", 9}}},
        {"no id is left", R"({"next_id":0})", {{"/next_id", 0}}},
        {"a row is replaced whole, not mixed",
         R"({"workers":[{"key":1,"id":0,"app":1,"pid":7,"wanted":false}]})",
         {{"/rows/1/record/pid", 7}, {"/rows/1/record/cause", ""}, {"/rows/1/wanted", false}}},
        {"a row is removed", R"({"removed":[2]})", {{"/rows/2", nullptr}}},
        {"a row that never was is removed", R"({"removed":[99]})", {}},
        {"an app and its environment, with a row that has it",
         R"({"environments":[{"number":2,"values":{"B":"2"}}],)"
         R"("apps":[{"number":2,"spec":{"name":"b","script":"/srv/b","cwd":"/srv",)"
         R"("kill_timeout":7},"environment":2}],"workers":[{"key":2,"id":1,"app":2}]})",
         {{"/apps/2", {{"name", "b"}, {"kill_timeout", 7}, {"environment", {{"B", "2"}}}}},
          {"/rows/2/app", 2}}},
        {"an app that nobody has",
         R"({"apps":[{"number":2,"spec":{"name":"b","script":"/srv/b","cwd":"/srv"},"environment":1}]})",
         {}},
        {"listeners",
         R"({"listeners":[{"address":"81","sockets":[{"inode":6},{"inode":7,"live":true}]}]})",
         {{"/listeners", json::parse(R"([["81",[[6,false],[7,true]]]])")}}},
        {"no listeners", R"({"listeners":[]})", {{"/listeners", json::array()}}},
        {"Node's sockets", R"({"node":{"b":{}}})", {{"/node", {{"b", json::object()}}}}},
        {"no reloads", R"({"reloads":[]})", {{"/reloads", json::array()}}},
        {"others are held",
         R"({"held":[{"key":1,"event":"stop_asked","before":[1,2]}]})",
         {{"/held", json::parse(R"([[1,"stop_asked","",[1,2]]])")}}},
        {"an end begins", R"({"ending":"kill"})", {{"/ending", std::to_underlying(Ending::kill)}}},
        {"a member of a later version", R"({"weather":{"sun":[1]}})", {}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        json want = before;
        for (const auto& [pointer, value] : row.changes) {
            const json::json_pointer at{pointer};
            if (value.is_null())
                want.at(at.parent_pointer()).erase(at.back());
            else
                want[at] = value;
        }
        CHECK(shown(read(first + row.part + "\n")) == want);
        // Whoever wrote the next line was killed in the midst of it.
        const std::string torn = R"({"removed":[1],"workers":[{"key":2,)";
        for (std::size_t size = 1; size <= torn.size(); ++size)
            CHECK(shown(read(first + row.part + "\n" + torn.substr(0, size)))["rows"] ==
                  want["rows"]);
    }
    // Whole, but for the newline: nobody knows that it was whole.
    CHECK(shown(read(first + R"({"removed":[1]})")) == before);
}

TEST_CASE("state: a part that tells all that has changed leads to the same as a whole text")
{
    Machine m;
    Worker& first = m.add(named_app());
    EnvironmentNumbers numbers;
    std::string text = state_text(m.supervisor, {}, numbers);

    auto spec = named_app("late");
    spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
    Worker& late = m.add(spec); // with an environment of its own
    m.supervisor.ask(late, Event::start_asked, "test");
    REQUIRE(m.until(late, State::online));
    const std::uint64_t gone = first.key;
    m.supervisor.ask(first, Event::delete_asked, "test");
    UnderWay under_way;
    under_way.held = {{.key = late.key, .event = Event::stop_asked, .cause = "x", .before = {}}};
    StateChange change;
    change.apps = {late.app};
    change.rows = {&late};
    change.removed = {gone};
    change.listeners = change.node = true;
    change.under_way = &under_way;
    text += change_text(m.supervisor, change, numbers);
    CHECK(shown(read(text)) == shown(read(text_of(m, under_way))));

    // And when nobody is left, ids start over.
    const std::uint64_t last = late.key;
    const pid_t pid = late.pid;
    m.supervisor.ask(late, Event::delete_asked, "test");
    m.launcher.end(pid, {});
    REQUIRE(m.until([&] { return !m.supervisor.find_row(last); }));
    StateChange end;
    end.removed = {last};
    end.listeners = true;
    const UnderWay nothing;
    end.under_way = &nothing;
    text += change_text(m.supervisor, end, numbers);
    CHECK(shown(read(text)) == shown(read(text_of(m))));
    CHECK(read(text).next_id == 0);
}
