// Drives app/redis, app/kv and app/limits from a test: one JSON object per line comes in, one goes
// out for each when it is done. Settings come from the environment, as clusterapp's do. With an
// argument it uses the embedded forms, in that folder.
#include "app/base/line_log.hpp"
#include "app/kv/key_value.hpp"
#include "app/limits/make_rate_limiter.hpp"
#include "app/redis/make_redis.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace {

using namespace cluster;
using namespace cluster::app;
using namespace std::chrono_literals;
using namespace asio::experimental::awaitable_operators;
using Words = std::vector<std::string>;

const char* name_of(const ipc::Error& error)
{
    switch (kind_of(error)) {
    case Trouble::unavailable:
        return "unavailable";
    case Trouble::unknown_outcome:
        return "unknown_outcome";
    case Trouble::overloaded:
        return "overloaded";
    case Trouble::conflict:
        return "conflict";
    case Trouble::refused:
        return "refused";
    }
    return "?";
}

json failure(const ipc::Error& error)
{
    return {{"error", name_of(error)}, {"what", error.what}};
}

json value_of(const RedisReply& reply)
{
    using Type = RedisReply::Type;
    if (reply.type == Type::nil) return nullptr;
    if (reply.type == Type::number) return reply.number;
    if (reply.type != Type::list) return reply.text;
    json list = json::array();
    for (const RedisReply& item : reply.items)
        list.push_back(value_of(item));
    return list;
}

json answer_of(const Result<RedisReply>& reply)
{
    return reply ? json{{"ok", value_of(*reply)}} : failure(reply.error());
}

/// What many callers at once saw. INCR shows each that was done twice, or done though refused.
struct Load {
    bool going = true;
    int running = 0;
    std::map<std::string, std::int64_t> errors{};
    std::map<std::string, std::int64_t> done{}; ///< by key
    std::string last_error{};
    std::int64_t ok = 0;
};

class Probe {
public:
    Probe(asio::io_context& io, Environment& environment, const char* folder)
        : io_{io}, options_{read_redis_options(environment)},
          limits_{read_rate_limit_options(environment)}, input_{io, ::dup(STDIN_FILENO)}
    {
        for (const std::string& fault : environment.faults())
            std::fprintf(stderr, "%s\n", fault.c_str());
        if (!environment.faults().empty()) std::exit(2);
        if (folder == nullptr) {
            redis_ = make_redis(io, options_, log_);
            values_ = make_key_value(*redis_);
            limiter_ = make_rate_limiter(*redis_, clock_, limits_, log_);
            return;
        }
        const std::string path = folder;
        auto values = make_embedded_key_value(io, clock_, path + "/shared.db");
        auto limiter = make_embedded_rate_limiter(clock_, path + "/limits.bin", limits_, log_);
        for (const auto* const failed :
             {values ? nullptr : &values.error(), limiter ? nullptr : &limiter.error()}) {
            if (failed == nullptr) continue;
            std::fprintf(stderr, "%s\n", failed->text().c_str());
            std::exit(2);
        }
        values_ = std::move(*values);
        limiter_ = std::move(*limiter);
    }

    void read_next()
    {
        asio::async_read_until(input_, asio::dynamic_buffer(text_), '\n',
                               [this](const boost::system::error_code& code, std::size_t size) {
                                   if (code) return finish();
                                   const std::string line = text_.substr(0, size);
                                   text_.erase(0, size);
                                   begin(json::parse(line));
                                   read_next();
                               });
    }

private:
    void finish()
    {
        if (redis_) redis_->close();
        io_.stop();
    }

    static void say(const json& order, json answer)
    {
        answer["id"] = order.value("id", 0);
        std::cout << answer.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
    }

    void begin(const json& order)
    {
        auto whole = [](Probe* self, json given) -> asio::awaitable<void> {
            auto run = self->run(given);
            json answer = co_await std::move(run);
            say(given, std::move(answer));
        };
        asio::co_spawn(io_, whole(this, order), [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
    }

    asio::awaitable<json> run(json order)
    {
        const std::string what = order.at("do");
        if (what == "up") co_return json{{"ok", redis_->up()}, {"form", redis_->form()}};
        if (what == "subscribe") co_return subscribe(order);
        if (what == "unsubscribe") co_return json{{"ok", subscriptions_.erase(order.at("name"))}};
        if (what == "listen") co_return add_channel(order);
        if (what == "load") co_return start_load(order);
        if (what == "seen") co_return seen();
        if (what.starts_with("kv_")) {
            auto done = run_values(what, order);
            co_return co_await std::move(done);
        }
        if (what == "take") {
            auto done = take(order);
            co_return co_await std::move(done);
        }
        if (what == "stop") {
            auto done = stop_load();
            co_return co_await std::move(done);
        }
        auto done = run_redis(what, order);
        co_return co_await std::move(done);
    }

    asio::awaitable<json> run_redis(std::string what, json order)
    {
        const std::size_t key_at = order.value("key_at", std::size_t{1});
        if (what == "ping") {
            auto call = ping(*redis_);
            const auto done = co_await std::move(call);
            co_return done ? json{{"ok", true}} : failure(done.error());
        }
        if (what == "pipeline") {
            std::vector<RedisCommand> commands = order.at("commands");
            auto call = redis_->pipeline(std::move(commands), key_at);
            const auto replies = co_await std::move(call);
            json list = json::array();
            for (const auto& reply : replies)
                list.push_back(answer_of(reply));
            co_return json{{"ok", list}};
        }
        if (what == "script") {
            const std::string lua = order.at("lua");
            Words keys = order.at("keys");
            Words args = order.at("args");
            auto call = redis_->script(lua, std::move(keys), std::move(args));
            const auto reply = co_await std::move(call);
            co_return answer_of(reply);
        }
        RedisCommand command = order.at("command");
        if (what == "blocking") {
            auto call =
                redis_->blocking(std::move(command), milliseconds{order.at("limit")}, key_at);
            const auto reply = co_await std::move(call);
            co_return answer_of(reply);
        }
        auto call = redis_->call(std::move(command), key_at);
        if (!order.contains("within")) {
            const auto reply = co_await std::move(call);
            co_return answer_of(reply);
        }
        // A caller that does not want to wait so long: it cancels the call.
        asio::steady_timer timer{io_, milliseconds{order.at("within")}};
        auto race = std::move(call) || timer.async_wait(asio::use_awaitable);
        const auto first = co_await std::move(race);
        const auto* const reply = std::get_if<0>(&first);
        co_return reply == nullptr ? json{{"ok", "given up"}} : answer_of(*reply);
    }

    asio::awaitable<json> run_values(std::string what, json order)
    {
        if (what == "kv_ping") {
            auto call = values_->ping();
            const auto done = co_await std::move(call);
            co_return done ? json{{"ok", true}} : failure(done.error());
        }
        if (what == "kv_set") {
            auto call =
                values_->set(order.at("key"), order.at("value"), milliseconds{order.at("life")});
            const auto done = co_await std::move(call);
            co_return done ? json{{"ok", true}} : failure(done.error());
        }
        if (what == "kv_remove") {
            auto call = values_->remove(order.at("key"));
            const auto done = co_await std::move(call);
            co_return done ? json{{"ok", *done}} : failure(done.error());
        }
        Words keys = order.at("keys");
        auto call = values_->get(std::move(keys));
        const auto done = co_await std::move(call);
        if (!done) co_return failure(done.error());
        json list = json::array();
        for (const auto& value : *done)
            list.push_back(value ? json(*value) : json(nullptr));
        co_return json{{"ok", list}};
    }

    /// `count` requests of one client, one after another; how many were allowed.
    asio::awaitable<json> take(json order)
    {
        int allowed = 0;
        Quota last;
        const auto begun = std::chrono::steady_clock::now();
        for (int i = 0; i < order.value("count", 1); ++i) {
            auto call = limiter_->take(order.at("client"));
            last = co_await std::move(call);
            allowed += last.allowed ? 1 : 0;
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
        co_return json{{"ok", allowed},
                       {"limit", last.limit},
                       {"remaining", last.remaining},
                       {"reset", last.reset.count()},
                       {"seconds", took.count()},
                       {"form", limiter_->form()}};
    }

    json subscribe(const json& order)
    {
        const std::string name = order.at("name");
        RedisListener listener{
            .channels = order.value("channels", Words{}),
            .patterns = order.value("patterns", Words{}),
            .message =
                [name](std::string_view pattern, std::string_view channel, std::string_view bytes) {
                    std::cout << json{{"heard", name},
                                      {"pattern", pattern},
                                      {"channel", channel},
                                      {"bytes", bytes}}
                                     .dump(-1, ' ', false, json::error_handler_t::replace)
                              << std::endl;
                },
            .connected = [name] { std::cout << json{{"connected", name}}.dump() << std::endl; }};
        subscriptions_[name] = redis_->subscribe(std::move(listener));
        return {{"ok", true}};
    }

    json add_channel(const json& order)
    {
        auto& subscription = *subscriptions_.at(order.at("name"));
        if (order.contains("add")) subscription.add(order.at("add"));
        if (order.contains("remove")) subscription.remove(order.at("remove"));
        return {{"ok", true}};
    }

    json start_load(const json& order)
    {
        load_ = Load{};
        for (int i = 0; i < order.value("workers", 8); ++i) {
            auto worker = [](Probe* self, int first, json given) -> asio::awaitable<void> {
                auto work = self->work(first, given.value("keys", 16), given.value("kind", "call"),
                                       milliseconds{given.value("pace", 0)});
                co_await std::move(work);
            };
            ++load_.running;
            asio::co_spawn(io_, worker(this, i, order), [this](const std::exception_ptr& thrown) {
                --load_.running;
                if (thrown) std::rethrow_exception(thrown);
            });
        }
        return {{"ok", true}};
    }

    asio::awaitable<void> work(int first, int keys, std::string kind, milliseconds pace)
    {
        asio::steady_timer pause{io_};
        for (int i = first; load_.going; ++i) {
            const std::string key = "load:" + std::to_string(i % keys);
            Result<RedisReply> reply{};
            if (kind == "script") {
                Words names{key};
                auto call =
                    redis_->script("return redis.call('INCR', KEYS[1])", std::move(names), {});
                reply = co_await std::move(call);
            } else {
                RedisCommand command{"INCR", key};
                auto call = redis_->call(std::move(command));
                reply = co_await std::move(call);
            }
            if (reply) {
                ++load_.ok;
                ++load_.done[key];
                if (pace == 0ms) continue;
                pause.expires_after(pace);
                co_await pause.async_wait(asio::use_awaitable);
                continue;
            }
            ++load_.errors[name_of(reply.error())];
            if (kind_of(reply.error()) == Trouble::unknown_outcome) ++load_.errors["maybe:" + key];
            load_.last_error = reply.error().text();
            pause.expires_after(2ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
    }

    json seen() const
    {
        return {{"ok", load_.ok},
                {"errors", load_.errors},
                {"last_error", load_.last_error},
                {"done", load_.done}};
    }

    asio::awaitable<json> stop_load()
    {
        load_.going = false;
        asio::steady_timer pause{io_};
        while (load_.running > 0) {
            pause.expires_after(1ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
        co_return seen();
    }

    asio::io_context& io_;
    ipc::SystemClock clock_;
    // Lines of the log go to stderr with the warnings: stdout is for answers.
    struct ErrLog final : Log {
        void write(LogLevel, std::string_view message, const json& fields) override
        {
            std::cerr << message << ' '
                      << fields.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
        }
        [[nodiscard]] bool wants(LogLevel) const override { return true; }
    } log_;
    RedisOptions options_;
    RateLimitOptions limits_;
    std::unique_ptr<Redis> redis_;
    std::unique_ptr<KeyValue> values_;
    std::unique_ptr<RateLimiter> limiter_;
    std::map<std::string, std::unique_ptr<RedisSubscription>> subscriptions_;
    Load load_;
    asio::posix::stream_descriptor input_;
    std::string text_;
};

} // namespace

int main(int argc, char** argv)
try {
    Environment environment{read_environment(environ)};
    asio::io_context io{1};
    Probe probe{io, environment, argc > 1 ? argv[1] : nullptr};
    probe.read_next();
    io.run();
    return EXIT_SUCCESS;
} catch (const std::exception& error) {
    std::fprintf(stderr, "redis_probe: %s\n", error.what());
    return EXIT_FAILURE;
}
