#include "app/redis/one_server.hpp"

#include <utility>

namespace cluster::app {

OneServer::OneServer(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find)
    : world_{std::move(world)}, purpose_{std::move(purpose)}, find_{std::move(find)},
      link_{std::make_shared<Link>(world_, purpose_, find_, Link::Hooks{})},
      blocking_{world_, purpose_, find_}
{
    link_->start();
}

OneServer::~OneServer()
{
    *alive_ = false;
    OneServer::close(); // what a derived one adds, its own destructor has done
}

void OneServer::close()
{
    link_->stop();
    blocking_.end("closed");
    for (const auto& one : std::exchange(subscriptions_, {}))
        if (const auto kept = one.lock()) kept->stop();
}

void OneServer::renew(const std::string& why)
{
    link_->renew(why);
    blocking_.end(why);
    for (const auto& one : subscriptions_)
        if (const auto kept = one.lock()) kept->renew(why);
}

void OneServer::look_at(const Result<RedisReply>& reply)
{
    if (reply || error_word(reply.error().what) != "READONLY") return;
    // Others of the same batch say the same; and a fixed server that is a replica stays one.
    if (link_->settled()) renew(reply.error().what);
}

asio::awaitable<Result<RedisReply>> OneServer::call(RedisCommand command, std::size_t)
{
    const auto alive = alive_;
    Sending sending{.link = link_, .command = std::move(command)};
    auto sent = request(world_->io, std::move(sending));
    auto reply = co_await std::move(sent);
    if (*alive) look_at(reply);
    co_return reply;
}

asio::awaitable<std::vector<Result<RedisReply>>>
OneServer::pipeline(std::vector<RedisCommand> commands, std::size_t)
{
    const auto alive = alive_;
    std::vector<Sending> sendings;
    sendings.reserve(commands.size());
    for (RedisCommand& command : commands)
        sendings.push_back({.link = link_, .command = std::move(command)});
    auto sent = request_all(world_->io, std::move(sendings));
    auto replies = co_await std::move(sent);
    for (const auto& reply : replies)
        if (*alive) look_at(reply);
    co_return replies;
}

asio::awaitable<Result<RedisReply>> OneServer::script(std::string_view lua,
                                                      std::vector<std::string> keys,
                                                      std::vector<std::string> args)
{
    const auto alive = alive_;
    auto named = call(script_command("EVALSHA", scripts_.of(lua), keys, args), 0);
    auto reply = co_await std::move(named);
    if (!lacks_script(reply) || !*alive) co_return reply;
    auto whole = call(script_command("EVAL", lua, keys, args), 0);
    co_return co_await std::move(whole);
}

asio::awaitable<Result<RedisReply>> OneServer::blocking(RedisCommand command, milliseconds limit,
                                                        std::size_t)
{
    const auto alive = alive_;
    if (!link_->up()) co_return trouble(Trouble::unavailable, "redis: not connected");
    auto run = blocking_.run(std::move(command), limit);
    auto reply = co_await std::move(run);
    if (*alive) look_at(reply);
    co_return reply;
}

std::unique_ptr<RedisSubscription> OneServer::subscribe(RedisListener listener)
{
    auto made = std::make_unique<Subscription>(world_, purpose_, find_, std::move(listener));
    std::erase_if(subscriptions_, [](const auto& one) { return one.expired(); });
    subscriptions_.push_back(made->link());
    return made;
}

} // namespace cluster::app
