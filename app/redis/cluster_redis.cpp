#include "app/redis/cluster_redis.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

namespace cluster::app {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// The specification's clients follow 5 and then give up (a map that goes in circles).
constexpr int kMaxTries = 5;
/// Between two tries while a slot is on its way from one server to another (TRYAGAIN).
constexpr milliseconds kTryAgainPause{20};
constexpr milliseconds kListenPause{10};
constexpr milliseconds kRefreshNotSooner{100};
constexpr milliseconds kRefreshWhileBroken{500};
constexpr milliseconds kRefreshAnyway{30'000};
constexpr milliseconds kAskLimit{1000};

Result<RedisReply> nobody()
{
    return trouble(Trouble::unavailable, "redis cluster: no server has this slot now");
}

} // namespace

ClusterRedis::ClusterRedis(std::shared_ptr<RedisWorld> world)
    : world_{std::move(world)}, refresh_timer_{world_->io}
{
    refresh_in(milliseconds{0});
}

// NOLINTNEXTLINE(bugprone-exception-escape): stopping a timer does not fail
ClusterRedis::~ClusterRedis()
{
    *self_ = nullptr;
    close();
}

void ClusterRedis::close()
{
    closed_ = true;
    refresh_timer_.cancel();
    for (const auto& [address, node] : nodes_) {
        node.link->stop();
        node.blocking->end("closed");
    }
    for (const auto& one : std::exchange(subscriptions_, {}))
        if (const auto kept = one.lock()) kept->stop();
}

bool ClusterRedis::up() const
{
    return map_.whole() && std::ranges::all_of(map_.masters(), [this](const RedisAddress& master) {
               const auto found = nodes_.find(master);
               return found != nodes_.end() && found->second.link->up();
           });
}

// Calls.

ClusterRedis::Route ClusterRedis::route_of(const RedisCommand& command, std::size_t key_at)
{
    Route route;
    if (key_at > 0 && key_at < command.size()) route.slot = key_slot(command[key_at]);
    return route;
}

const RedisAddress* ClusterRedis::any_up() const
{
    const auto found =
        std::ranges::find_if(nodes_, [](const auto& one) { return one.second.link->up(); });
    return found == nodes_.end() ? nullptr : &found->first;
}

std::optional<RedisAddress> ClusterRedis::address_of(const Route& route) const
{
    if (route.address) return route.address;
    const RedisAddress* const known = route.slot ? map_.owner(*route.slot) : any_up();
    return known == nullptr ? std::nullopt : std::optional{*known};
}

Sending ClusterRedis::sending(const Route& route, RedisCommand command)
{
    const auto address = closed_ ? std::nullopt : address_of(route);
    return {.link = address ? node(*address).link : nullptr,
            .command = std::move(command),
            .asking = route.asking};
}

/// Whether the command surely was not done and is to be sent along `route` (which is changed)
/// again.
bool ClusterRedis::follow(Route& route, const Outcome& outcome)
{
    if (outcome) return false;
    const std::string_view why = outcome.error().what;
    const auto asked = address_of(route);
    const auto redirect = parse_redirect(why, asked ? asked->host : "");
    const bool moving = error_word(why) == "TRYAGAIN";
    if (error_word(why) == "CLUSTERDOWN" || error_word(why) == "MASTERDOWN") refresh_soon();
    if ((!redirect && !moving) || ++route.tries > kMaxTries) return false;
    route.pause = moving;
    if (!redirect) return true;
    route.asking = redirect->ask;
    route.address = redirect->address;
    if (redirect->ask) return true;
    map_.set_owner(redirect->slot, redirect->address);
    refresh_soon(); // where one slot went, others did
    return true;
}

asio::awaitable<void> ClusterRedis::pause()
{
    asio::steady_timer timer{world_->io, kTryAgainPause};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<Result<RedisReply>> ClusterRedis::call(RedisCommand command, std::size_t key_at)
{
    const auto self = self_;
    Route route = route_of(command, key_at);
    while (true) {
        auto sent = request(world_->io, sending(route, command));
        auto reply = co_await std::move(sent);
        if (*self == nullptr || !follow(route, reply)) co_return reply;
        if (route.pause) {
            auto waited = pause();
            co_await std::move(waited);
            if (*self == nullptr) co_return nobody();
        }
    }
}

asio::awaitable<std::vector<Result<RedisReply>>>
ClusterRedis::pipeline(std::vector<RedisCommand> commands, std::size_t key_at)
{
    const auto self = self_;
    std::vector<Route> routes;
    std::vector<std::size_t> open; // still without a final outcome
    for (const RedisCommand& command : commands) {
        open.push_back(routes.size());
        routes.push_back(route_of(command, key_at));
    }
    std::vector<Outcome> outcomes(commands.size(), nobody());
    while (!open.empty()) {
        std::vector<Sending> round;
        round.reserve(open.size());
        for (const std::size_t at : open)
            round.push_back(sending(routes[at], commands[at]));
        auto sent = request_all(world_->io, std::move(round));
        auto replies = co_await std::move(sent);
        std::vector<std::size_t> rest;
        bool wait = false;
        for (std::size_t i = 0; i < open.size(); ++i) {
            const std::size_t at = open[i];
            outcomes[at] = std::move(replies[i]);
            if (*self == nullptr || !follow(routes[at], outcomes[at])) continue;
            rest.push_back(at);
            wait = wait || routes[at].pause;
        }
        open = std::move(rest);
        if (!wait) continue;
        auto waited = pause();
        co_await std::move(waited);
        if (*self == nullptr) break;
    }
    co_return outcomes;
}

asio::awaitable<Result<RedisReply>> ClusterRedis::script(std::string_view lua,
                                                         std::vector<std::string> keys,
                                                         std::vector<std::string> args)
{
    const auto self = self_;
    const std::size_t key_at = keys.empty() ? 0 : 3;
    auto named = call(script_command("EVALSHA", scripts_.of(lua), keys, args), key_at);
    auto reply = co_await std::move(named);
    if (!lacks_script(reply) || *self == nullptr) co_return reply;
    auto whole = call(script_command("EVAL", lua, keys, args), key_at);
    co_return co_await std::move(whole);
}

asio::awaitable<Result<RedisReply>> ClusterRedis::blocking(RedisCommand command, milliseconds limit,
                                                           std::size_t key_at)
{
    const auto self = self_;
    Route route = route_of(command, key_at);
    while (true) {
        const auto address = closed_ ? std::nullopt : address_of(route);
        if (!address || (!route.address && !node(*address).link->up())) co_return nobody();
        auto run = node(*address).blocking->run(command, limit, route.asking);
        auto reply = co_await std::move(run);
        if (*self == nullptr || !follow(route, reply)) co_return reply;
        if (route.pause) {
            auto waited = pause();
            co_await std::move(waited);
            if (*self == nullptr) co_return nobody();
        }
    }
}

std::unique_ptr<RedisSubscription> ClusterRedis::subscribe(RedisListener listener)
{
    FindServer find = [self = self_, world = world_] { return where_to_listen(self, world); };
    auto made = std::make_unique<Subscription>(world_, RedisPurpose{}, std::move(find),
                                               std::move(listener));
    std::erase_if(subscriptions_, [](const auto& one) { return one.expired(); });
    subscriptions_.push_back(made->link());
    return made;
}

/// A message reaches all servers of a Cluster, so any of them would do. But what one server has
/// acknowledged and not yet passed on is lost when it, or who is to get it, is killed. So all
/// listen where all publish: at the first server that is up, once each is known to be up or away.
asio::awaitable<Result<RedisAddress>>
ClusterRedis::where_to_listen(std::shared_ptr<ClusterRedis*> self,
                              std::shared_ptr<RedisWorld> world)
{
    asio::steady_timer timer{world->io};
    const auto end = SteadyClock::now() + world->options.connect_timeout;
    while (*self != nullptr && !(*self)->closed_) {
        const auto& nodes = (*self)->nodes_;
        const bool known = std::ranges::none_of(
            nodes, [](const auto& one) { return one.second.link->connecting(); });
        const bool late = SteadyClock::now() >= end;
        const RedisAddress* const up = known || late ? (*self)->any_up() : nullptr;
        if (up != nullptr) co_return *up;
        if (late) break;
        timer.expires_after(kListenPause);
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_return trouble(Trouble::unavailable, "redis cluster: no server to listen to");
}

// Servers and the map.

ClusterRedis::Node& ClusterRedis::node(const RedisAddress& address)
{
    const auto found = nodes_.find(address);
    if (found != nodes_.end()) return found->second;
    Link::Hooks hooks{.down = [self = self_] {
        if (*self != nullptr) (*self)->refresh_soon();
    }};
    Node made{.link =
                  std::make_shared<Link>(world_, RedisPurpose{}, always(address), std::move(hooks)),
              .blocking = std::make_unique<BlockingPool>(world_, RedisPurpose{}, always(address))};
    Node& kept = nodes_.emplace(address, std::move(made)).first->second;
    kept.link->start();
    return kept;
}

void ClusterRedis::refresh_soon()
{
    if (refreshing_) {
        again_ = true;
        return;
    }
    const auto since = std::chrono::duration_cast<milliseconds>(SteadyClock::now() - refreshed_);
    refresh_in(std::max(kRefreshNotSooner - since, milliseconds{0}));
}

void ClusterRedis::refresh_in(milliseconds delay)
{
    if (closed_) return;
    const auto at = SteadyClock::now() + delay;
    // An earlier one stays: many reasons at once must not put it off again and again.
    if (refresh_timer_.expiry() > SteadyClock::now() && refresh_timer_.expiry() <= at) return;
    refresh_timer_.expires_at(at);
    refresh_timer_.async_wait([self = self_](const boost::system::error_code& code) {
        if (code || *self == nullptr || (*self)->refreshing_) return;
        auto whole = [](std::shared_ptr<ClusterRedis*> it) -> asio::awaitable<void> {
            auto done = (*it)->refresh();
            co_await std::move(done);
        };
        asio::co_spawn((*self)->world_->io, whole(self), [](const std::exception_ptr& thrown) {
            if (thrown) std::rethrow_exception(thrown); // out of memory
        });
    });
}

asio::awaitable<void> ClusterRedis::refresh()
{
    const auto self = self_;
    refreshing_ = true;
    again_ = false;
    for (const RedisAddress& address : whom_to_ask()) {
        auto asked = ask(world_, address);
        auto map = co_await std::move(asked);
        if (*self == nullptr || closed_) co_return;
        if (!map || map->masters().empty()) continue;
        apply(std::move(*map));
        break;
    }
    refreshing_ = false;
    refreshed_ = SteadyClock::now();
    if (again_)
        refresh_soon();
    else
        refresh_in(up() ? kRefreshAnyway : kRefreshWhileBroken);
}

/// Connected ones first, each time beginning with another, then all that we ever heard of.
std::vector<RedisAddress> ClusterRedis::whom_to_ask()
{
    std::vector<RedisAddress> order;
    for (const auto& [address, node] : nodes_)
        if (node.link->up()) order.push_back(address);
    if (!order.empty())
        std::rotate(order.begin(),
                    order.begin() + static_cast<std::ptrdiff_t>(turn_++ % order.size()),
                    order.end());
    std::set<RedisAddress> known{order.begin(), order.end()};
    const std::vector<RedisAddress>& seeds = world_->options.nodes;
    for (const auto* const more : {&map_.replicas(), &seeds, &map_.masters()})
        for (const RedisAddress& address : *more)
            if (known.insert(address).second) order.push_back(address);
    return order;
}

/// On a connection of its own: one that hangs must not be asked behind the calls that wait for it.
asio::awaitable<Result<SlotMap>> ClusterRedis::ask(std::shared_ptr<RedisWorld> world,
                                                   RedisAddress address)
{
    const auto connection =
        std::make_shared<Connection>(world, RedisPurpose{.label = "slots"}, always(address));
    connection->open();
    RedisCommand command{"CLUSTER", "SLOTS"};
    auto asked = request(connection, std::move(command),
                         std::min(kAskLimit, world->options.command_timeout));
    const auto reply = co_await std::move(asked);
    connection->end("asked");
    if (!reply) {
        world->log.debug("Redis Cluster: no map", {{"error", reply.error().text()}});
        co_return std::unexpected(reply.error());
    }
    co_return SlotMap::parse(*reply, address.host);
}

void ClusterRedis::apply(SlotMap map)
{
    map_ = std::move(map);
    for (const RedisAddress& master : map_.masters())
        static_cast<void>(node(master)); // connects
    // A server that is no master any more goes when nobody waits for it.
    std::erase_if(nodes_, [this](const auto& one) {
        const auto& [address, node] = one;
        if (std::ranges::find(map_.masters(), address) != map_.masters().end()) return false;
        const auto& connection = node.link->connection();
        if (connection && connection->ready() && !connection->quiet()) return false;
        node.link->stop();
        node.blocking->end("it is not a master any more");
        return true;
    });
}

} // namespace cluster::app
