#include "app/http/health.hpp"
#include "tests/support/manual_clock.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

class Lines final : public Log {
public:
    void write(LogLevel, std::string_view message, const json& fields) override
    {
        lines.push_back(std::string{message} + ": " + std::string{fields["check"]});
    }
    [[nodiscard]] bool wants(LogLevel) const override { return true; }
    std::vector<std::string> lines;
};

/// Something that the server depends on.
struct Dependency {
    bool up = true;
    int asked = 0;
};

asio::awaitable<Finding> ask(Dependency& dependency)
{
    ++dependency.asked;
    // Not at once, so that others can come to ask meanwhile.
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    if (dependency.up) co_return Finding{.outcome = {}, .detail = {{"form", "test"}}};
    co_return Finding{.outcome = trouble(Trouble::unavailable, "it is away")};
}

struct Fixture {
    asio::io_context io{};
    cluster::tests::ManualClock clock{};
    Lines log{};
    Router router{};
    Service service{.clock = clock, .router = router, .log = log};
    Health health{io, service, 7, clock.now()};
    Dependency database{};
    Dependency redis{};

    Fixture()
    {
        health.add("database", [this] { return ask(database); });
        health.add("redis", [this] { return ask(redis); });
        health.add_routes(router);
    }

    /// The answer of `path`, asked `times` at once.
    Response get(const char* path, int times = 1)
    {
        Response last;
        Request request;
        for (int i = 0; i < times; ++i)
            asio::co_spawn(io, router.match(http::verb::get, path).route->handler(request),
                           [&](const std::exception_ptr& failure, Response response) {
                               REQUIRE_FALSE(failure);
                               last = std::move(response);
                           });
        io.restart();
        io.run();
        return last;
    }

    std::string status_of(const char* path)
    {
        const Response response = get(path);
        const bool well = response.status == http::status::ok;
        CHECK((well || response.status == http::status::service_unavailable));
        return std::string{json::parse(response.body)["status"]} + (well ? "" : " 503");
    }
};

} // namespace

TEST_CASE("health: what it depends on is asked once in half a second, however many want to know")
{
    Fixture fixture;
    fixture.get("/health", 20);
    CHECK(fixture.database.asked == 1);
    fixture.clock.advance(499ms);
    fixture.get("/health/ready", 3);
    CHECK(fixture.database.asked == 1);
    fixture.clock.advance(1ms);
    fixture.get("/health/ready", 3);
    CHECK(fixture.database.asked == 2);
    fixture.clock.advance(1h);
    fixture.get("/health/live");
    CHECK(fixture.database.asked == 2); // whether it lives depends on nothing
}

TEST_CASE("health: not ready while one of them is away, and alive all the time")
{
    Fixture fixture;
    CHECK(fixture.status_of("/health") == "ok");
    fixture.redis.up = false;
    CHECK(fixture.status_of("/health") == "ok"); // what is known is fresh
    fixture.clock.advance(500ms);
    CHECK(fixture.status_of("/health/ready") == "failing 503");
    CHECK(fixture.status_of("/health/live") == "ok");
    const json checks = json::parse(fixture.get("/health").body)["checks"];
    CHECK(checks["database"] == json{{"status", "ok"}, {"form", "test"}, {"latency_ms", 0}});
    CHECK(checks["redis"]["status"] == "failing");
    fixture.redis.up = true;
    fixture.clock.advance(500ms);
    CHECK(fixture.status_of("/health") == "ok");
    CHECK(fixture.log.lines ==
          std::vector<std::string>{"a check fails: redis", "a check is well again: redis"});
}

TEST_CASE("health: a server that is about to end is not ready")
{
    Fixture fixture;
    fixture.service.ready = false;
    CHECK(fixture.status_of("/health") == "draining 503");
    CHECK(fixture.status_of("/health/live") == "ok");
}
