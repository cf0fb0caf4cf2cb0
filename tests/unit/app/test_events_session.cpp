#include "app/events/engine_rules.hpp"
#include "app/events/engine_session.hpp"
#include "app/events/event_budget.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;
using Meaning = EngineSession::Meaning;
using Tick = EngineSession::Tick;

namespace {

const EventsOptions kOptions{
    .ping_interval = 25s, .ping_timeout = 20s, .max_payload = 100, .max_queue = 200};

EngineFrame message(std::string_view text)
{
    return engine_frame(EngineType::message, text);
}

EngineSession polling_session()
{
    return EngineSession{"sid", kOptions, EngineTransport::polling, 0s};
}

} // namespace

TEST_CASE("engine session: what a packet means")
{
    const struct {
        EngineType type;
        Meaning want;
    } rows[] = {
        {EngineType::message, Meaning::message},    {EngineType::pong, Meaning::nothing},
        {EngineType::close, Meaning::client_close}, {EngineType::noop, Meaning::nothing},
        {EngineType::upgrade, Meaning::nothing},    {EngineType::ping, Meaning::wrong},
        {EngineType::open, Meaning::wrong},
    };
    for (const auto& row : rows) {
        EngineSession session = polling_session();
        CAPTURE(static_cast<char>(row.type));
        CHECK(session.receive({.type = row.type}, 1s) == row.want);
    }
}

TEST_CASE("engine session: a ping each interval, and an answer in time")
{
    EngineSession session = polling_session();
    CHECK(session.deadline() == 25s);
    CHECK(session.tick(24s) == Tick::nothing);
    CHECK(session.tick(25s) == Tick::ping);
    CHECK(session.take_poll() == "2");
    CHECK(session.deadline() == 45s);

    SUBCASE("a pong begins the next interval")
    {
        CHECK(session.receive({.type = EngineType::pong}, 30s) == Meaning::heartbeat);
        CHECK(session.receive({.type = EngineType::pong}, 31s) == Meaning::nothing); // unasked
        CHECK(session.deadline() == 55s);
        CHECK(session.tick(55s) == Tick::ping);
    }
    SUBCASE("silence is the end")
    {
        CHECK(session.tick(45s) == Tick::timed_out);
    }
    SUBCASE("another packet gives more time, once")
    {
        static_cast<void>(session.receive({.type = EngineType::message}, 40s));
        CHECK(session.tick(45s) == Tick::nothing);
        static_cast<void>(session.receive({.type = EngineType::message}, 50s));
        CHECK(session.tick(60s) == Tick::timed_out);
    }
}

TEST_CASE("engine session: a poll takes what is queued, up to the payload's limit")
{
    EngineSession session = polling_session();
    CHECK_FALSE(session.poll_is_due());
    CHECK(session.push(message(std::string(60, 'a'))));
    CHECK(session.push(message(std::string(60, 'b'))));
    CHECK(session.push(message("c")));
    CHECK(session.poll_is_due());
    CHECK(session.take_poll() == "4" + std::string(60, 'a'));
    CHECK(session.take_poll() == "4" + std::string(60, 'b') +
                                     "\x1e"
                                     "4c");
    CHECK(session.queued() == 0);
    // One that is larger than the limit goes alone.
    CHECK(session.push(message(std::string(150, 'd'))));
    CHECK(session.take_poll().size() == 151);
}

TEST_CASE("engine session: the queue has an end")
{
    EngineSession session = polling_session();
    CHECK(session.push(message(std::string(150, 'a'))));
    CHECK_FALSE(session.push(message(std::string(60, 'b'))));
    CHECK(session.push(message("c")));
    static_cast<void>(session.take_frame());
    CHECK(session.push(message(std::string(60, 'b'))));
}

TEST_CASE("engine session: the way to a WebSocket")
{
    EngineSession session = polling_session();
    CHECK(session.begin_upgrade());
    CHECK_FALSE(session.begin_upgrade()); // another one at the same time
    CHECK_FALSE(session.poll_is_due());
    session.probe();
    CHECK(session.poll_is_due()); // so that the client can stop polling
    CHECK(session.take_poll() == "6");

    SUBCASE("it takes over")
    {
        CHECK(session.push(message("queued")));
        session.end_upgrade(true);
        CHECK(session.transport() == EngineTransport::websocket);
        CHECK(session.take_poll() == "6"); // a late poll gets nothing of the queue
        CHECK(*session.take_frame()->bytes == "4queued");
        CHECK_FALSE(session.begin_upgrade());
    }
    SUBCASE("it fails, and polling goes on")
    {
        session.end_upgrade(false);
        CHECK_FALSE(session.poll_is_due());
        CHECK(session.begin_upgrade());
    }
}

TEST_CASE("engine session: closing sends what is queued first")
{
    EngineSession session = polling_session();
    CHECK(session.push(message("last")));
    session.close();
    CHECK(session.push(message("dropped")));
    CHECK(session.receive({.type = EngineType::message}, 1s) == Meaning::nothing);
    CHECK(session.tick(1h) == Tick::nothing);
    CHECK(session.take_poll() == "4last\x1e"
                                 "1");
    session.closed();
    CHECK(session.take_poll() == "1");
}

TEST_CASE("engine session: the first packet")
{
    CHECK(*open_frame(polling_session(), kOptions).bytes ==
          R"(0{"sid":"sid","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,)"
          R"("maxPayload":100})");
    const EngineSession direct{"sid", kOptions, EngineTransport::websocket, 0s};
    CHECK(open_frame(direct, kOptions).bytes->find(R"("upgrades":[])") != std::string::npos);
}

TEST_CASE("engine rules: each row is one query")
{
    const struct {
        const char* name;
        http::verb method;
        Pairs query;
        bool upgrade;
        std::optional<EngineFault> want;
    } rows[] = {
        {"a poll", http::verb::get, {{"EIO", "4"}, {"transport", "polling"}}, false, {}},
        {"a WebSocket", http::verb::get, {{"EIO", "4"}, {"transport", "websocket"}}, true, {}},
        {"no transport", http::verb::get, {{"EIO", "4"}}, false, EngineFault::unknown_transport},
        {"webtransport",
         http::verb::get,
         {{"EIO", "4"}, {"transport", "webtransport"}},
         false,
         EngineFault::unknown_transport},
        {"an old client",
         http::verb::get,
         {{"EIO", "3"}, {"transport", "polling"}},
         false,
         EngineFault::unsupported_version},
        {"no version",
         http::verb::get,
         {{"transport", "polling"}},
         false,
         EngineFault::unsupported_version},
        {"a post first",
         http::verb::post,
         {{"EIO", "4"}, {"transport", "polling"}},
         false,
         EngineFault::bad_handshake_method},
        {"a WebSocket without upgrade",
         http::verb::get,
         {{"EIO", "4"}, {"transport", "websocket"}},
         false,
         EngineFault::bad_request},
        {"a poll that upgrades",
         http::verb::get,
         {{"EIO", "4"}, {"transport", "polling"}},
         true,
         EngineFault::bad_request},
        {"another version later",
         http::verb::get,
         {{"EIO", "3"}, {"transport", "polling"}, {"sid", "x"}},
         false,
         EngineFault::bad_request},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Request request;
        request.method = row.method;
        request.query = row.query;
        CHECK(fault_of(request, row.upgrade) == row.want);
    }
    CHECK(answer_of(EngineFault::unknown_sid).body ==
          R"({"code":1,"message":"Session ID unknown"})");
    CHECK(answer_of(EngineFault::unknown_sid).status == http::status::bad_request);
}

TEST_CASE("engine rules: who of another origin may read the answer")
{
    const auto origin_for = [](std::vector<std::string> origins, const char* origin) {
        EventsOptions options;
        options.origins = std::move(origins);
        http::fields headers;
        if (origin != nullptr) headers.set(http::field::origin, origin);
        Request request;
        request.headers = &headers;
        Response response;
        add_cors(response, request, options);
        for (const auto& [name, value] : response.headers)
            if (name == "Access-Control-Allow-Origin") return value;
        return std::string{};
    };
    CHECK(origin_for({}, "https://a.example") == "");
    CHECK(origin_for({"*"}, "https://a.example") == "*");
    CHECK(origin_for({"https://a.example"}, "https://a.example") == "https://a.example");
    CHECK(origin_for({"https://a.example"}, "https://a.example.evil") == "");
    CHECK(origin_for({"https://a.example"}, nullptr) == "");
}

TEST_CASE("events options: each row is one fault")
{
    const struct {
        const char* name;
        const char* value;
        bool good;
    } rows[] = {
        {"SOCKETIO_CORS_ORIGIN", "*", true},
        {"SOCKETIO_CORS_ORIGIN", "https://a.example, http://b:8080", true},
        {"SOCKETIO_CORS_ORIGIN", "*, https://a.example", false},
        {"SOCKETIO_CORS_ORIGIN", "https://a.example/", false},
        {"SOCKETIO_CORS_ORIGIN", "a.example", false},
        {"SOCKETIO_NAMESPACES", "/admin, /chat", true},
        {"SOCKETIO_NAMESPACES", "admin", false},
        {"SOCKETIO_NAMESPACES", "/a*", false},
        {"SOCKETIO_AUTH", "required", true},
        {"SOCKETIO_AUTH", "yes", false},
        {"SOCKETIO_PING_INTERVAL_MS", "50", false},
        {"SOCKETIO_REDIS_KEY", "a#b", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CAPTURE(row.value);
        Environment environment{{{row.name, row.value}}};
        static_cast<void>(read_events_options(environment));
        CHECK(environment.faults().empty() == row.good);
    }
    Environment environment{{{"SOCKETIO_NAMESPACES", "/admin"}, {"SOCKETIO_MAX_CLIENTS", "7"}}};
    const EventsOptions options = read_events_options(environment);
    CHECK(options.namespaces == std::vector<std::string>{"/", "/admin"});
    CHECK(options.max_clients == 7);
}

TEST_CASE("engine session: a mark is passed when the pings before it are answered")
{
    EngineSession session{"sid", kOptions, EngineTransport::websocket, 0s};
    CHECK(session.tick(25s) == Tick::ping);
    CHECK_FALSE(session.caught_up());
    CHECK(session.mark(30s));
    CHECK(session.queued() == 2);
    CHECK(session.receive({.type = EngineType::pong}, 31s) == Meaning::heartbeat);
    CHECK_FALSE(session.caught_up()); // the answer to the first one
    CHECK(session.receive({.type = EngineType::pong}, 32s) == Meaning::heartbeat);
    CHECK(session.caught_up());
    CHECK(session.deadline() == 57s);

    CHECK(session.mark(40s));
    CHECK(session.deadline() == 60s);
    CHECK(session.tick(60s) == Tick::timed_out);
}

TEST_CASE("engine session: by polling a mark is passed when no request is under way")
{
    EngineSession session = polling_session();
    CHECK(session.mark(1s));
    CHECK_FALSE(session.has_frames());
    CHECK(session.caught_up());
    CHECK(session.push(message("kept for the last poll")));
    CHECK_FALSE(session.poll_is_due());
    CHECK(session.begin_post());
    CHECK_FALSE(session.caught_up());
    session.end_post();
    CHECK(session.caught_up());
    session.close();
    CHECK(session.poll_is_due());
    CHECK(session.take_poll() == "4kept for the last poll\x1e"
                                 "1");
}

TEST_CASE("event budget: as many at once as in five seconds, then as many as it refills")
{
    EventBudget budget{10, 0ms};
    for (int packet = 0; packet < 50; ++packet)
        CHECK(budget.take(0ms));
    CHECK_FALSE(budget.take(0ms));
    CHECK_FALSE(budget.take(99ms));
    CHECK(budget.take(200ms));
    for (int packet = 0; packet < 50; ++packet)
        CHECK(budget.take(1h)); // full, and no fuller
    CHECK_FALSE(budget.take(1h));
    EventBudget none{0, 0ms};
    CHECK(none.take(0ms));
}
