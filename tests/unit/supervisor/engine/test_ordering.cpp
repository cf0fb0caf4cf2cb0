// What is held back and how another daemon goes on with it; the rules are core/ordering.hpp, and
// whole starts and stops in order are tested with real processes.
#include "supervisor/engine/ordering.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;

namespace {

/// `db`, and `api` that depends on it.
struct Ordered : tests::WaitingMachine {
    Ordering ordering{supervisor, waiting, loop};
    Worker& db = add(app("db"));
    Worker& api = add(app("api", {{"db", ipc::Condition::started}}));

    Ordered()
    {
        on_transition = [this](const Worker&, Event) { ordering.on_change(); };
        on_removed = [this] { ordering.on_change(); };
    }
    static ipc::AppSpec app(std::string name, std::map<std::string, ipc::Condition> depends_on = {})
    {
        ipc::AppSpec spec;
        spec.name = std::move(name);
        spec.depends_on = std::move(depends_on);
        spec.kill_timeout = 1h;
        return spec;
    }
    void settle()
    {
        for (int turns = 0; turns < 5; ++turns)
            turn();
    }
};

} // namespace

TEST_CASE("ordering: a start that has to wait is held with all that it takes to go on with it")
{
    Ordered o;
    o.ordering.start(o.api, Event::restart_asked, "a test");
    REQUIRE(o.ordering.held().size() == 1);
    const Ordering::Held& held = o.ordering.held()[0];
    CHECK(held.key == o.api.key);
    CHECK(held.event == Event::restart_asked);
    CHECK(held.cause == "a test");
    CHECK_FALSE(held.before);
    CHECK_FALSE(o.api.waits_for.empty());
    o.ordering.start(o.db, Event::start_asked, "a test"); // depends on nobody
    CHECK(o.ordering.held().size() == 1);
    REQUIRE(o.until(o.api, State::online));
    CHECK(o.ordering.held().empty());
}

TEST_CASE("ordering: a start that was held by a daemon before waits on, and is made in its time")
{
    Ordered o;
    o.supervisor.ask(o.db, Event::start_asked, "test");
    o.ordering.restore(
        {{.key = o.api.key, .event = Event::start_asked, .cause = "x", .before = {}}});
    CHECK_FALSE(o.api.waits_for.empty());
    REQUIRE(o.until(o.api, State::online));
    CHECK(o.api.cause == "x");
    CHECK(o.api.waits_for.empty());
    CHECK(o.ordering.held().empty());
    CHECK(o.launcher.plans.size() == 2);
}

TEST_CASE("ordering: a restored start whose need can never be met is given up")
{
    Ordered o;
    o.ordering.restore(
        {{.key = o.api.key, .event = Event::start_asked, .cause = "x", .before = {}}});
    o.settle();
    CHECK(o.ordering.held().empty());
    CHECK(o.api.waits_for.empty());
    CHECK(o.api.life.state == State::stopped);
    CHECK(o.launcher.plans.empty());
}

TEST_CASE("ordering: an end that has to wait is held until those that depend on it are down")
{
    for (const bool restored : {false, true}) {
        CAPTURE(restored);
        Ordered o;
        o.bring_up(o.db);
        o.bring_up(o.api);
        if (restored) { // as another daemon left it: the first one was asked already
            o.supervisor.ask(o.api, Event::stop_asked, "x");
            const auto before = std::make_shared<const std::set<std::uint64_t>>(
                std::set<std::uint64_t>{o.db.key, o.api.key});
            o.ordering.restore(
                {{.key = o.db.key, .event = Event::stop_asked, .cause = "x", .before = before}});
        } else {
            o.ordering.end({o.db.id, o.api.id}, Event::stop_asked, "x");
        }
        REQUIRE(o.ordering.held().size() == 1);
        CHECK(o.ordering.held()[0].key == o.db.key);
        REQUIRE(o.ordering.held()[0].before);
        CHECK(o.ordering.held()[0].before->contains(o.api.key));
        o.settle();
        CHECK(o.db.life.state == State::online);
        CHECK(o.db.waits_for.empty()); // it waits for its end, it is not missing
        o.launcher.end(o.api.pid, {});
        REQUIRE(o.until(o.db, State::stopping));
        CHECK(o.ordering.held().empty());
        o.launcher.end(o.db.pid, {});
        CHECK(o.until(o.db, State::stopped));
    }
}

TEST_CASE("ordering: what was held for a row that is no more is forgotten")
{
    Ordered o;
    o.ordering.restore({{.key = 99, .event = Event::start_asked, .cause = "x", .before = {}}});
    o.settle();
    CHECK(o.ordering.held().empty());
    // A number of a row that is gone holds nobody up.
    o.bring_up(o.db);
    const auto before =
        std::make_shared<const std::set<std::uint64_t>>(std::set<std::uint64_t>{98, 99});
    o.ordering.restore(
        {{.key = o.db.key, .event = Event::stop_asked, .cause = "x", .before = before}});
    CHECK(o.until(o.db, State::stopping));
}
