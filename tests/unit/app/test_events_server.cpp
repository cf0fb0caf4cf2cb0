// The Socket.IO server and its Redis adapter without a socket: clients that write down what they
// are sent, and a Redis that is a list of listeners.
#include "app/events/redis_adapter.hpp"
#include "app/events/socket_server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <string>
#include <vector>

using namespace cluster::app;
using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

namespace {

struct Figures final : Metrics {
    struct Count final : Counter {
        void add(std::uint64_t count) override { value += count; }
        std::uint64_t value = 0;
    };
    struct Level final : Gauge {
        void set(double level) override { value = level; }
        void add(double level) override { value += level; }
        double value = 0;
    };
    Counter& counter(std::string_view, std::string_view, LabelList labels) override
    {
        return labels[0].second == "in" ? in : out;
    }
    Gauge& gauge(std::string_view, std::string_view, LabelList) override { return clients; }
    Histogram& histogram(std::string_view, std::string_view, LabelList) override { std::abort(); }
    void before_scrape(std::function<void()>) override {}
    Count in;
    Count out;
    Level clients;
};

struct Lines final : Log {
    void write(LogLevel, std::string_view message, const json&) override
    {
        lines.emplace_back(message);
    }
    [[nodiscard]] bool wants(LogLevel) const override { return true; }
    Texts lines;
};

struct FakeClient final : EngineClient {
    explicit FakeClient(std::string id, EngineListener& to) : sid_{std::move(id)}, listener{to} {}
    [[nodiscard]] const std::string& sid() const override { return sid_; }
    [[nodiscard]] const ClientHandshake& handshake() const override { return handshake_; }
    void send(const EngineFrame& frame) override
    {
        if (!closed) sent.push_back(*frame.bytes);
    }
    [[nodiscard]] bool writable() const override { return can_write; }
    void mark() override { behind = !quiet; }
    [[nodiscard]] bool caught_up() const override { return !behind; }
    void close(CloseReason reason) override
    {
        if (std::exchange(closed, true)) return;
        why = reason;
        listener.on_close(*this, reason);
    }
    /// What it was sent since the last look.
    Texts look() { return std::exchange(sent, {}); }

    std::string sid_;
    EngineListener& listener;
    ClientHandshake handshake_{.address = "192.0.2.1"};
    Texts sent;
    bool can_write = true;
    bool quiet = true; ///< has nothing on its way when it is asked
    bool behind = false;
    bool closed = false;
    CloseReason why = CloseReason::transport_close;
};

/// Publishing calls every listener at once.
struct FakeRedis final : Redis {
    struct Subscription final : RedisSubscription {
        Subscription(FakeRedis& from, RedisListener to) : redis{from}, listener{std::move(to)}
        {
            redis.subscriptions.push_back(this);
        }
        ~Subscription() override { redis.subscriptions.remove(this); }
        void add(std::string channel) override { listener.channels.push_back(channel); }
        void remove(std::string) override {}
        [[nodiscard]] bool up() const override { return !redis.deaf; }
        FakeRedis& redis;
        RedisListener listener;
    };

    asio::awaitable<Result<RedisReply>> call(RedisCommand command, std::size_t) override
    {
        if (away) co_return trouble(Trouble::unavailable, "redis is away");
        RedisReply reply{.type = RedisReply::Type::list};
        if (command[0] == "PUBLISH") {
            published.push_back(command[1]);
            publish(command[1], command[2]);
        } else {
            reply.items.push_back({.type = RedisReply::Type::text, .text = command[2]});
            reply.items.push_back({.type = RedisReply::Type::number,
                                   .number = static_cast<std::int64_t>(subscriptions.size())});
        }
        co_return reply;
    }
    void publish(const std::string& channel, const std::string& bytes)
    {
        for (Subscription* const one : std::list{subscriptions}) {
            const auto& listener = one->listener;
            if (std::ranges::find(listener.channels, channel) != listener.channels.end())
                listener.message("", channel, bytes);
            for (const std::string& pattern : listener.patterns)
                if (channel.starts_with(pattern.substr(0, pattern.size() - 1)))
                    listener.message(pattern, channel, bytes);
        }
    }
    asio::awaitable<std::vector<Result<RedisReply>>> pipeline(std::vector<RedisCommand>,
                                                              std::size_t) override
    {
        std::abort();
    }
    asio::awaitable<Result<RedisReply>> script(std::string_view, std::vector<std::string>,
                                               std::vector<std::string>) override
    {
        std::abort();
    }
    asio::awaitable<Result<RedisReply>> blocking(RedisCommand, milliseconds, std::size_t) override
    {
        std::abort();
    }
    std::unique_ptr<RedisSubscription> subscribe(RedisListener listener) override
    {
        auto made = std::make_unique<Subscription>(*this, std::move(listener));
        if (made->listener.connected) made->listener.connected();
        return made;
    }
    [[nodiscard]] bool up() const override { return !away; }
    [[nodiscard]] std::string_view form() const override { return "redis"; }
    void close() override {}

    std::list<Subscription*> subscriptions;
    Texts published;
    bool away = false;
    bool deaf = false; ///< publishes, but the subscriptions are still to come back
};

/// One server, and what it needs.
struct Host {
    Host() = default;
    explicit Host(FakeRedis& redis)
    {
        server.of("/").use(
            std::make_unique<RedisAdapter>(io, redis, server.of("/"), "/", options, log));
    }

    std::shared_ptr<FakeClient> client()
    {
        auto made = std::make_shared<FakeClient>("sid" + std::to_string(++count), server);
        server.on_open(made);
        return made;
    }
    /// A client in the namespace "/".
    std::shared_ptr<FakeClient> entered()
    {
        auto made = client();
        say(made, "0");
        static_cast<void>(made->look());
        return made;
    }
    void say(const std::shared_ptr<FakeClient>& from, std::string text, bool binary = false)
    {
        run(server.on_message(from, {EngineType::message, std::move(text), binary}));
    }
    /// Runs it as far as it gets by itself.
    template <class T>
    void run(asio::awaitable<T> work)
    {
        asio::co_spawn(io, std::move(work), asio::detached);
        turn();
    }
    void turn()
    {
        io.restart();
        io.poll();
    }
    /// The id of a client's socket in "/".
    std::string socket_of(const std::shared_ptr<FakeClient>& wanted)
    {
        for (const std::string& id : server.of("/").select({}))
            if (server.of("/").emit_to(id, json::array({"probe"})) && !wanted->look().empty())
                return id;
        return "";
    }

    asio::io_context io{1};
    EventsOptions options{.namespaces = {"/", "/admin"}};
    Figures figures;
    Lines log;
    SocketServer server{io, options, figures, log};
    int count = 0;
};

asio::awaitable<void> echo(EventCall call)
{
    call.ack(call.args);
    co_return;
}

/// Answers when somebody cancels `gate`.
asio::awaitable<void> wait_then_answer(EventCall call, asio::steady_timer& gate)
{
    static_cast<void>(co_await gate.async_wait(asio::as_tuple(asio::use_awaitable)));
    call.ack("done");
}

asio::awaitable<void> relay(EventCall call)
{
    json data = json::array({"said"});
    for (const json& arg : call.args)
        data.push_back(arg);
    const auto sent = co_await call.nsp.emit({}, std::move(data));
    call.ack(sent ? json(true) : json(false));
}

} // namespace

TEST_CASE("socket server: a client enters, talks and leaves")
{
    Host host;
    host.server.of("/").on("echo", echo);
    const auto client = host.client();
    CHECK(host.figures.clients.value == 1);
    host.say(client, R"(0{"token":"x"})");
    const Texts greeting = client->look();
    REQUIRE(greeting.size() == 1);
    CHECK(greeting[0].starts_with(R"(40{"sid":")"));
    host.say(client, R"(27["echo",1,"a"])");
    CHECK(client->look() == Texts{R"(437[[1,"a"]])"});
    host.say(client, R"(2["echo",1])"); // no acknowledgement wanted
    host.say(client, R"(28["nobody listens"])");
    CHECK(client->look().empty());
    CHECK(host.figures.in.value == 3);
    host.say(client, "1");
    CHECK_FALSE(client->closed);
    CHECK(host.server.of("/").select({}).empty());
    host.say(client, "0"); // it may enter again
    CHECK(client->look().size() == 1);
    client->close(CloseReason::transport_close);
    CHECK(host.figures.clients.value == 0);
    CHECK(host.server.clients() == 0);
}

TEST_CASE("socket server: namespaces are apart")
{
    Host host;
    host.server.of("/admin").on("echo", echo);
    const auto client = host.entered();
    host.say(client, "0/admin,");
    CHECK(client->look()[0].starts_with("40/admin,{"));
    host.say(client, R"(2/admin,1["echo"])");
    CHECK(client->look() == Texts{"43/admin,1[[]]"});
    host.say(client, R"(21["echo"])"); // nobody listens in "/"
    CHECK(client->look().empty());
    host.say(client, "0/nope,");
    CHECK(client->look() == Texts{R"(44/nope,{"message":"Invalid namespace"})"});
    CHECK_FALSE(client->closed);
}

TEST_CASE("socket server: who breaks the protocol is closed")
{
    for (const char* const text : {"2[\"early\"]", "x", "3[]", "51-[\"x\"]2", "4{}"}) {
        CAPTURE(text);
        Host host;
        const auto client = host.client();
        host.say(client, text);
        if (std::string_view{text}.starts_with("51")) continue; // waits for its attachment
        CHECK(client->closed);
        CHECK(client->why == CloseReason::parse_error);
    }
    Host host;
    const auto client = host.entered();
    host.say(client, "0");
    CHECK(client->closed);
}

TEST_CASE("socket server: who may not enter is told why")
{
    Host host;
    host.server.of("/").on_connect(
        [](ConnectCall call) -> asio::awaitable<std::expected<json, std::string>> {
            if (call.auth.value("token", "") == "good") co_return json{{"user", 1}};
            co_return std::unexpected("not you");
        });
    const auto client = host.client();
    host.say(client, R"(0{"token":"bad"})");
    CHECK(client->look() == Texts{R"(44{"message":"not you"})"});
    CHECK(host.server.of("/").select({}).empty());
    host.say(client, R"(0{"token":"good"})");
    CHECK(client->look()[0].starts_with("40{"));
    const std::string id = host.socket_of(client);
    CHECK(*host.server.of("/").data_of(id) == json{{"user", 1}});
}

TEST_CASE("socket server: the server asks one client")
{
    Host host;
    const auto client = host.entered();
    const std::string id = host.socket_of(client);
    Result<json> answer = json(nullptr);
    const auto ask = [](Namespace& nsp, std::string socket,
                        Result<json>& into) -> asio::awaitable<void> {
        json question = json::array({"question"});
        into = co_await nsp.ask(std::move(socket), std::move(question), 10min);
    };
    host.run(ask(host.server.of("/"), id, answer));
    CHECK(client->look() == Texts{R"(420["question"])"});
    host.say(client, R"(30["yes",2])");
    CHECK(answer == json::array({"yes", 2}));
    host.say(client, R"(30["again"])"); // without effect

    host.run(ask(host.server.of("/"), id, answer));
    client->close(CloseReason::ping_timeout);
    host.turn();
    REQUIRE_FALSE(answer);
    CHECK(kind_of(answer.error()) == Trouble::unavailable);
}

TEST_CASE("socket server: the drain waits for acknowledgements, then tells everybody")
{
    Host host;
    asio::steady_timer gate{host.io, 1h};
    host.server.of("/").on(
        "slow", [&gate](EventCall call) { return wait_then_answer(std::move(call), gate); });
    const auto idle = host.entered();
    const auto busy = host.entered();
    host.say(busy, R"(21["slow"])");
    host.run(host.server.drain(1h));
    CHECK(idle->closed);
    CHECK(idle->why == CloseReason::server_shutting_down);
    CHECK_FALSE(busy->closed);
    gate.cancel();
    host.turn();
    CHECK(busy->look() == Texts{R"(431["done"])"});
    CHECK(busy->closed);

    Host other;
    asio::steady_timer never{other.io, 1h};
    other.server.of("/").on(
        "slow", [&never](EventCall call) { return wait_then_answer(std::move(call), never); });
    const auto stuck = other.entered();
    other.say(stuck, R"(21["slow"])");
    other.run(other.server.drain(0ms));
    CHECK(stuck->closed);
}

TEST_CASE("socket server: the drain waits for what a client has on its way")
{
    Host host;
    host.server.of("/").on("echo", echo);
    const auto client = host.entered();
    client->quiet = false;
    host.run(host.server.drain(1h));
    CHECK_FALSE(client->closed);
    host.say(client, R"(21["echo",1])");
    CHECK(client->look() == Texts{"431[[1]]"});
    CHECK_FALSE(client->closed);
    client->behind = false;
    host.server.on_heartbeat(*client);
    host.turn();
    CHECK(client->why == CloseReason::server_shutting_down);
}

TEST_CASE("socket server: a heartbeat is told for each namespace")
{
    Host host;
    Texts told;
    host.server.heartbeat = [&](Namespace& nsp, const std::string& socket) {
        told.push_back(nsp.name());
        nsp.disconnect({.rooms = {socket}}, false);
    };
    const auto client = host.entered();
    host.say(client, "0/admin,");
    static_cast<void>(client->look());
    host.server.on_heartbeat(*client);
    CHECK(told == Texts{"/", "/admin"});
    CHECK(client->look() == Texts{"41", "41/admin,"});
    host.server.on_heartbeat(*client); // it is in none any more
    CHECK(told.size() == 2);
}

TEST_CASE("socket server: who sends too much is let go, and told so that it stays away")
{
    Host host;
    host.options.max_events = 2; // and ten at once
    const auto client = host.entered();
    for (int event = 1; event < 10; ++event)
        host.say(client, R"(2["nobody listens"])");
    CHECK_FALSE(client->closed);
    for (int event = 0; event < 3; ++event)
        host.say(client, R"(2["nobody listens"])");
    CHECK(client->look() == Texts{"41"});
    CHECK(host.log.lines == Texts{"a Socket.IO client sends too many events"});
    CHECK(host.figures.in.value == 9);
    CHECK_FALSE(client->closed); // not yet: it would see that before what it was told
}

TEST_CASE("socket server: a handler that throws harms nobody")
{
    Host host;
    host.server.of("/").on("bad", [](EventCall) -> asio::awaitable<void> {
        throw std::runtime_error("boom");
        co_return;
    });
    host.server.of("/").on("echo", echo);
    const auto client = host.entered();
    host.say(client, R"(2["bad"])");
    host.say(client, R"(21["echo"])");
    CHECK(client->look() == Texts{"431[[]]"});
    CHECK(std::ranges::find(host.log.lines, "a Socket.IO handler failed") != host.log.lines.end());
}

TEST_CASE("redis adapter: clients of two servers hear each other, each once")
{
    FakeRedis redis;
    Host one{redis};
    Host two{redis};
    one.server.of("/").on("say", relay);
    const auto here = one.entered();
    const auto there = two.entered();
    one.say(here, R"(25["say","hé",{"b":[1.5,null]}])");
    const std::string text = R"(42["said","hé",{"b":[1.5,null]}])";
    CHECK(here->look() == Texts{text, "435[true]"});
    CHECK(there->look() == Texts{text});
    CHECK(redis.published.back() == "socket.io#/#");

    // Binary arrives as an attachment on the other server too.
    one.say(here, R"(51-["say",{"_placeholder":true,"num":0}])");
    one.say(here, "\xff\x01", true);
    const Texts binary{R"(451-["said",{"_placeholder":true,"num":0}])", "\xff\x01"};
    CHECK(there->look() == binary);

    redis.away = true;
    one.say(here, R"(26["say"])");
    const Texts alone = here->look();
    CHECK(alone.back() == "436[false]");
    CHECK(there->look().empty());

    // Published, but nobody knows whether others listen.
    redis.away = false;
    redis.deaf = true;
    one.say(here, R"(27["say"])");
    CHECK(here->look().back() == "437[false]");
}

TEST_CASE("redis adapter: rooms, except and one room's own channel")
{
    FakeRedis redis;
    Host one{redis};
    Host two{redis};
    const auto red = two.entered();
    const auto blue = two.entered();
    two.server.of("/").room_table().join(two.socket_of(red), "red");
    two.server.of("/").room_table().join(two.socket_of(blue), "blue");
    const auto emit = [&](Audience audience) {
        json data = json::array({"x"});
        one.run(one.server.of("/").emit(std::move(audience), std::move(data)));
    };
    emit({.rooms = {"red"}});
    CHECK(redis.published.back() == "socket.io#/#red#");
    CHECK(red->look().size() == 1);
    CHECK(blue->look().empty());
    emit({.rooms = {"red", "blue"}, .except = {"red"}});
    CHECK(redis.published.back() == "socket.io#/#");
    CHECK(red->look().empty());
    CHECK(blue->look().size() == 1);
    emit({.rooms = {"green"}});
    CHECK(blue->look().empty());
}

TEST_CASE("redis adapter: who is where, and who shall go")
{
    FakeRedis redis;
    Host one{redis};
    Host two{redis};
    const auto client = two.entered();
    const std::string id = two.socket_of(client);
    Namespace& from = one.server.of("/");

    one.run(from.emit({}, json::array({"warm"})));
    from.cluster_join({.rooms = {id}}, {"red"});
    one.turn();
    CHECK(two.server.of("/").room_table().is_in(id, "red"));

    Result<std::vector<SocketDescription>> found;
    const auto fetch = [](Namespace& nsp,
                          Result<std::vector<SocketDescription>>& into) -> asio::awaitable<void> {
        Audience audience;
        audience.rooms.push_back("red");
        into = co_await nsp.fetch_sockets(std::move(audience));
    };
    one.run(fetch(from, found));
    two.turn(); // publishes its answer
    one.turn();
    REQUIRE(found);
    REQUIRE(found->size() == 1);
    CHECK((*found)[0].id == id);
    CHECK((*found)[0].handshake["address"] == "192.0.2.1");
    CHECK((*found)[0].rooms == Texts{id, "red"});

    from.cluster_leave({.rooms = {"red"}}, {"red"});
    one.turn();
    CHECK_FALSE(two.server.of("/").room_table().has_room("red"));

    static_cast<void>(client->look());
    from.cluster_disconnect({.rooms = {id}}, false);
    one.turn();
    CHECK(client->look() == Texts{"41"});
    CHECK_FALSE(client->closed);
    CHECK(two.server.of("/").select({}).empty());
}

TEST_CASE("redis adapter: the clients of all servers acknowledge")
{
    FakeRedis redis;
    Host one{redis};
    Host two{redis};
    const auto here = one.entered();
    const auto there = two.entered();
    Result<std::vector<json>> answers;
    bool over = false;
    const auto ask = [](Namespace& nsp, Result<std::vector<json>>& into,
                        bool& done) -> asio::awaitable<void> {
        json data = json::array({"vote"});
        into = co_await nsp.emit_with_ack({}, std::move(data), 10min);
        done = true;
    };
    one.run(ask(one.server.of("/"), answers, over));
    two.turn();
    CHECK(here->look() == Texts{R"(420["vote"])"});
    CHECK(there->look() == Texts{R"(420["vote"])"});
    one.say(here, R"(30["from here"])");
    CHECK_FALSE(over);
    two.say(there, R"(30["from there"])");
    one.turn();
    CHECK(over);
    REQUIRE(answers);
    CHECK(*answers == std::vector<json>{"from here", "from there"});
}

TEST_CASE("redis adapter: servers talk to each other")
{
    FakeRedis redis;
    Host one{redis};
    Host two{redis};
    json heard;
    two.server.of("/").on_server_side("hi", [&heard](const json& args) {
        heard = args;
        return json("ack");
    });
    json data = json::array({"hi", 1});
    one.run(one.server.of("/").server_side_emit(std::move(data)));
    CHECK(heard == json::array({1}));
    // As a Node server asks, that wants an answer.
    redis.publish("socket.io-request#/#",
                  R"({"uid":"node","requestId":"r","type":6,"data":["hi",2]})");
    two.turn();
    CHECK(heard == json::array({2}));
    CHECK(redis.published.back() == "socket.io-response#/#");
}

TEST_CASE("redis adapter: what is not understood is logged and passed by")
{
    FakeRedis redis;
    Host host{redis};
    const auto client = host.entered();
    for (const char* const bytes : {"", "{", "\x91\x91", "\xc1", R"({"type":99})"}) {
        redis.publish("socket.io#/#", bytes);
        redis.publish("socket.io-request#/#", bytes);
        redis.publish("socket.io-response#/#", bytes);
    }
    CHECK(client->look().empty());
    CHECK(std::ranges::count(host.log.lines, "Redis adapter: a broadcast that cannot be read") ==
          5);
    // With Redis an operator greps for this line.
    CHECK(host.log.lines[0] == "Socket.IO uses the Redis adapter");
}
