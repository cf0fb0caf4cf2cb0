#include "app/redis/sentinel.hpp"

#include "ipc/base/text.hpp"

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace cluster::app {
namespace {

constexpr const char* kSwitch = "+switch-master";
/// A sentinel that is slower must not keep the others from being asked.
constexpr milliseconds kAskLimit{1000};

std::optional<RedisAddress> address_of(std::string_view host, std::string_view port)
{
    const auto number = ipc::parse_number<std::uint16_t>(port);
    if (host.empty() || !number || *number == 0) return std::nullopt;
    return RedisAddress{.host = std::string{host}, .port = *number};
}

} // namespace

std::optional<RedisAddress> parse_master(const RedisReply& reply)
{
    if (reply.items.size() != 2) return std::nullopt;
    return address_of(reply.items[0].text, reply.items[1].text);
}

std::optional<RedisAddress> parse_switch(std::string_view message, std::string_view master)
{
    std::vector<std::string_view> words;
    while (!message.empty()) {
        const std::size_t end = std::min(message.find(' '), message.size());
        words.push_back(message.substr(0, end));
        message.remove_prefix(std::min(end + 1, message.size()));
    }
    if (words.size() != 5 || words[0] != master) return std::nullopt;
    return address_of(words[3], words[4]);
}

RedisPurpose SentinelRedis::Sentinels::purpose() const
{
    return {.login = false, .password = world->options.sentinel_password, .label = "sentinel"};
}

/// Asks one after the other; the one that answered is the first to be asked next time.
asio::awaitable<Result<RedisAddress>> SentinelRedis::Sentinels::find_master()
{
    std::string why = "no sentinels";
    for (const RedisAddress& node : std::vector{nodes}) {
        auto asked = ask(node);
        auto answer = co_await std::move(asked);
        if (answer) {
            const auto at = std::ranges::find(nodes, node);
            if (at != nodes.end()) std::rotate(nodes.begin(), at, at + 1);
            co_return answer;
        }
        why = answer.error().what;
    }
    co_return trouble(Trouble::unavailable, fmt::format("no sentinel names the master: {}", why));
}

asio::awaitable<Result<RedisAddress>> SentinelRedis::Sentinels::ask(RedisAddress node)
{
    const auto connection = std::make_shared<Connection>(world, purpose(), always(node));
    connection->open();
    RedisCommand command{"SENTINEL", "get-master-addr-by-name", world->options.master};
    auto asked = request(connection, std::move(command),
                         std::min(kAskLimit, world->options.command_timeout));
    const auto reply = co_await std::move(asked);
    connection->end("asked");
    if (!reply) co_return std::unexpected(reply.error());
    auto address = parse_master(*reply);
    if (address) co_return std::move(*address);
    co_return trouble(Trouble::unavailable,
                      fmt::format("sentinel {} does not know the master \"{}\"", node.text(),
                                  world->options.master));
}

FindServer SentinelRedis::Sentinels::finder()
{
    return [self = shared_from_this()] {
        // A coroutine with a parameter: it keeps the sentinels for as long as it runs.
        auto find = [](std::shared_ptr<Sentinels> kept) -> asio::awaitable<Result<RedisAddress>> {
            auto found = kept->find_master();
            co_return co_await std::move(found);
        };
        return find(self);
    };
}

/// The sentinel to listen to: another one at each try.
FindServer SentinelRedis::Sentinels::watched()
{
    return [self = shared_from_this()] {
        const auto& all = self->world->options.nodes;
        return always(all[self->next_watched++ % all.size()])();
    };
}

SentinelRedis::SentinelRedis(const std::shared_ptr<RedisWorld>& world)
    : SentinelRedis{world, [&world] {
                        auto sentinels = std::make_shared<Sentinels>();
                        sentinels->world = world;
                        sentinels->nodes = world->options.nodes;
                        return sentinels;
                    }()}
{
}

SentinelRedis::SentinelRedis(const std::shared_ptr<RedisWorld>& world,
                             std::shared_ptr<Sentinels> sentinels)
    : OneServer{world, RedisPurpose{.must_master = true}, sentinels->finder()}, io_{world->io},
      master_{world->options.master}, sentinels_{std::move(sentinels)}
{
    watch();
}

SentinelRedis::~SentinelRedis()
{
    *self_ = nullptr;
}

void SentinelRedis::close()
{
    watch_.reset();
    OneServer::close();
}

void SentinelRedis::watch()
{
    RedisListener listener{
        .channels = {kSwitch},
        .patterns = {},
        .message =
            [this](std::string_view, std::string_view, std::string_view message) {
                if (const auto address = parse_switch(message, master_)) master_is(*address);
            },
        // While nobody listened the master may have changed without our being told.
        .connected = [this] { check(); }};
    watch_ = std::make_unique<Subscription>(sentinels_->world, sentinels_->purpose(),
                                            sentinels_->watched(), std::move(listener));
}

void SentinelRedis::check()
{
    auto look = [](std::shared_ptr<Sentinels> sentinels,
                   std::shared_ptr<SentinelRedis*> self) -> asio::awaitable<void> {
        auto found = sentinels->find_master();
        const auto address = co_await std::move(found); // has its own deadlines
        if (address && *self != nullptr) (*self)->master_is(*address);
    };
    asio::co_spawn(io_, look(sentinels_, self_), [](const std::exception_ptr& thrown) {
        if (thrown) std::rethrow_exception(thrown); // out of memory
    });
}

void SentinelRedis::master_is(const RedisAddress& address)
{
    const auto& connection = link()->connection();
    // One that looks for the master right now has no address yet, and finds it by itself.
    const bool fits = connection && !connection->ended() &&
                      (connection->address() == address || connection->address().host.empty());
    if (fits) return;
    sentinels_->world->log.info("Redis master changed", {{"master", address.text()}});
    renew("the master is now " + address.text());
}

} // namespace cluster::app
