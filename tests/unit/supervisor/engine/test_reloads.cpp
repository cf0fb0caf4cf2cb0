// What a reload has left to do, which another daemon takes up; reloads themselves are tested with
// real processes, and their plan in core/rollout_test.cpp.
#include "supervisor/engine/reloads.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using namespace std::chrono_literals;

namespace {

/// Two workers of an app, up.
struct Reloading : tests::WaitingMachine {
    Reloads reloads{supervisor, waiting, loop};
    std::vector<std::optional<WaitFailure>> results;

    explicit Reloading(bool listens)
    {
        on_transition = [this](const Worker& worker, Event event) {
            reloads.on_transition(worker, event);
        };
        ipc::AppSpec spec;
        spec.name = "api";
        spec.kill_timeout = 1h;
        spec.drain_timeout = 0ms;
        spec.reload.soak = 0ms;
        if (listens) spec.listen = {{.text = "127.0.0.1:0", .name = "x"}};
        Worker& first = add(spec);
        Worker& second = supervisor.add(first.app, 1);
        bring_up(first);
        bring_up(second);
    }
    void reload(std::string cause, std::vector<int> ids, std::shared_ptr<const App> app = nullptr)
    {
        reloads.start({.name = "api",
                       .ids = std::move(ids),
                       .app = std::move(app),
                       .cause = std::move(cause),
                       .on_step = [](const Worker&, const ReloadStep&) {},
                       .on_done =
                           [this](std::optional<WaitFailure> result) {
                               results.push_back(std::move(result));
                           }});
    }
    /// Time passes, and processes do as they were asked.
    void end_what_is_asked_to()
    {
        clock.advance(1ms);
        for (const Worker* worker : supervisor.rows())
            if (worker->life.state == State::stopping && system.alive.contains(worker->pid))
                launcher.end(worker->pid, {});
    }
};

/// At each writing down: whether those that have the place in the table accept from what is live.
struct LooksAtEach : NoRecorder {
    Supervisor& supervisor;
    std::vector<bool> consistent;

    explicit LooksAtEach(Supervisor& of) : supervisor{of} { of.record_to(*this); }
    void flush() override
    {
        consistent.push_back(std::ranges::all_of(supervisor.workers(), [](const auto& row) {
            return std::ranges::all_of(
                row.second->sockets, &ListenSocket::live,
                [](const auto& socket) -> const ListenSocket& { return *socket; });
        }));
    }
};

} // namespace

TEST_CASE("reloads: whenever it may be cut short, those that are shown have the connections")
{
    Reloading r{true};
    LooksAtEach looks{r.supervisor};
    r.reload("a test", {0, 1}, r.supervisor.find(0)->app);
    REQUIRE(r.until([&] {
        r.end_what_is_asked_to();
        return !r.results.empty();
    }));
    CHECK_FALSE(r.results[0]);
    CHECK(looks.consistent.size() > 1);
    CHECK(std::ranges::count(looks.consistent, false) == 0);
}

TEST_CASE("reloads: what is left of one is the workers whose place nobody has taken yet")
{
    for (const bool listens : {false, true}) {
        CAPTURE(listens);
        Reloading r{listens};
        CHECK(r.reloads.orders().empty());
        CHECK_FALSE(r.reloads.any());
        const auto next = r.supervisor.find(0)->app;
        r.reload("a test", {0, 1}, next);
        REQUIRE(r.reloads.orders().size() == 1);
        const Reloads::Order order = r.reloads.orders()[0];
        CHECK(order.name == "api");
        CHECK(order.ids == std::vector{0, 1});
        CHECK(order.app == next);
        CHECK(order.cause == "a test");
        std::vector<int> left{0, 1};
        REQUIRE(r.until([&] {
            r.end_what_is_asked_to();
            const auto orders = r.reloads.orders();
            const auto now = orders.empty() ? std::vector<int>{} : orders[0].ids;
            CHECK(std::ranges::includes(left, now)); // it never grows
            left = now;
            return !r.results.empty();
        }));
        CHECK(left.empty());
        CHECK_FALSE(r.results[0]);
    }
}

TEST_CASE("reloads: those that wait for their turn are left to be done, in their order")
{
    Reloading r{false};
    r.reload("first", {0, 1});
    r.reload("second", {0, 1});
    r.reload("third", {1});
    const auto orders = r.reloads.orders();
    REQUIRE(orders.size() == 3);
    CHECK(orders[0].cause == "first");
    CHECK(orders[1].cause == "second");
    CHECK(orders[2].cause == "third");
    CHECK(orders[2].ids == std::vector{1});
    CHECK_FALSE(orders[2].app); // each as it is
    r.reloads.cancel_all("a test");
    CHECK(r.reloads.orders().empty());
    CHECK(r.results.size() == 3);
}
