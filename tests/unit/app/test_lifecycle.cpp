#include "app/base/ids.hpp"
#include "app/base/pool.hpp"
#include "app/lifecycle.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <latch>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

using namespace cluster::app;

namespace {

class Lines final : public Log {
public:
    void write(LogLevel, std::string_view message, const json&) override
    {
        lines.emplace_back(message);
    }
    [[nodiscard]] bool wants(LogLevel) const override { return true; }
    std::vector<std::string> lines;
};

using Order = std::vector<std::string>;

asio::awaitable<Result<void>> open(Order& order, std::string name, bool works)
{
    order.push_back("open " + name);
    if (!works) co_return trouble(Trouble::unavailable, "it is away");
    co_return Result<void>{};
}

asio::awaitable<void> close(Order& order, std::string name)
{
    order.push_back("close " + name);
    if (name == "bad") throw std::runtime_error{"it broke"};
    co_return;
}

void add(Lifecycle& lifecycle, Order& order, const std::string& name, bool works = true)
{
    lifecycle.on_start(name, [&order, name, works] { return open(order, name, works); });
    lifecycle.on_close(name, [&order, name] { return close(order, name); });
    lifecycle.on_drain([&order, name] { order.push_back("drain " + name); });
}

template <class T>
T run(asio::awaitable<T> work)
{
    asio::io_context io;
    T result{};
    asio::co_spawn(io, std::move(work), [&](const std::exception_ptr& failure, T value) {
        REQUIRE_FALSE(failure);
        result = std::move(value);
    });
    io.run();
    return result;
}

asio::awaitable<int> close_all(Lifecycle& lifecycle)
{
    co_await lifecycle.close();
    co_return 0;
}

} // namespace

TEST_CASE("lifecycle: closed in the opposite order, and one that fails stops no other")
{
    Lines log;
    Lifecycle lifecycle{log};
    Order order;
    for (const char* const name : {"one", "bad", "three"})
        add(lifecycle, order, name);
    CHECK(run(lifecycle.start()).has_value());
    lifecycle.drain();
    run(close_all(lifecycle));
    CHECK(order == Order{"open one", "open bad", "open three", "drain one", "drain bad",
                         "drain three", "close three", "close bad", "close one"});
    CHECK(log.lines == std::vector<std::string>{"close bad"});
}

TEST_CASE("lifecycle: a role that cannot start ends the start-up and is named")
{
    Lines log;
    Lifecycle lifecycle{log};
    Order order;
    add(lifecycle, order, "one");
    add(lifecycle, order, "two", false);
    add(lifecycle, order, "three");
    const auto started = run(lifecycle.start());
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().what == "start two: it is away");
    CHECK(order == Order{"open one", "open two"});
}

TEST_CASE("ids: they grow with the time and do not repeat")
{
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = new_id(1'790'000'000'000 + i);
        REQUIRE(id.size() == 36);
        CHECK(id[14] == '7');
        CHECK(std::string_view{"89ab"}.contains(id[19]));
        CHECK((seen.empty() || *seen.rbegin() < id));
        seen.insert(id);
    }
    CHECK(new_id(0).starts_with("00000000-0000-7"));
    CHECK(random_token(32).size() == 43);
    CHECK(random_token(1).size() == 2);
    CHECK(random_token() != random_token());
}

namespace {

asio::awaitable<std::vector<int>> fill(Pool& pool, std::latch& started, std::latch& go)
{
    // One runs, one waits, and there is no room for a third.
    std::vector<int> outcomes;
    const auto executor = co_await asio::this_coro::executor;
    const auto wait = [&started, &go]() -> Result<int> {
        if (!started.try_wait()) started.count_down();
        go.wait();
        return 1;
    };
    for (int i = 0; i < 2; ++i)
        asio::co_spawn(executor, pool.run(wait),
                       [&outcomes](const std::exception_ptr&, const Result<int>& outcome) {
                           outcomes.push_back(outcome.value_or(-1));
                       });
    started.wait();
    const auto work = []() -> Result<int> { return 2; };
    const auto refused = co_await pool.run(work);
    CHECK(kind_of(refused.error()) == Trouble::overloaded);
    go.count_down();
    while (pool.waiting() > 0)
        co_await asio::post(executor, asio::use_awaitable);
    const auto taken = co_await pool.run(work);
    outcomes.push_back(taken.value_or(-1));
    co_return outcomes;
}

} // namespace

TEST_CASE("pool: what does not fit is refused, the rest comes back to the loop")
{
    asio::io_context io;
    Pool pool{io, "test", 1, 2};
    std::latch started{1};
    std::latch go{1};
    std::vector<int> outcomes;
    asio::co_spawn(io, fill(pool, started, go),
                   [&](const std::exception_ptr& failure, std::vector<int> got) {
                       CHECK_FALSE(failure);
                       outcomes = std::move(got);
                   });
    io.run();
    CHECK(outcomes == std::vector<int>{1, 1, 2});
    pool.stop();
}
