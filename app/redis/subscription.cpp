#include "app/redis/subscription.hpp"

#include <utility>

namespace cluster::app {

Heard parse_heard(RedisReply reply)
{
    Heard heard;
    auto& items = reply.items;
    if (reply.type != RedisReply::Type::list || items.size() < 3) return heard;
    const std::string& kind = items[0].text;
    if (kind == "message") {
        heard.what = Heard::What::message;
        heard.channel = std::move(items[1].text);
        heard.bytes = std::move(items[2].text);
    } else if (kind == "pmessage" && items.size() > 3) {
        heard.what = Heard::What::message;
        heard.pattern = std::move(items[1].text);
        heard.channel = std::move(items[2].text);
        heard.bytes = std::move(items[3].text);
    } else if (kind == "subscribe" || kind == "psubscribe") {
        heard.what = Heard::What::confirmed;
    }
    return heard;
}

Subscription::Subscription(std::shared_ptr<RedisWorld> world, RedisPurpose purpose, FindServer find,
                           RedisListener listener)
    : state_{std::make_shared<State>()}
{
    state_->channels = {listener.channels.begin(), listener.channels.end()};
    state_->listener = std::move(listener);
    purpose.listens = true;
    if (purpose.login) purpose.label = "subscriptions";
    const std::weak_ptr<State> weak = state_;
    Link::Hooks hooks{.ready =
                          [weak](Connection& connection) {
                              if (const auto state = weak.lock()) state->ask(connection);
                          },
                      .message =
                          [weak](RedisReply reply) {
                              if (const auto state = weak.lock()) state->hear(std::move(reply));
                          },
                      .down = {}};
    state_->link = std::make_shared<Link>(std::move(world), std::move(purpose), std::move(find),
                                          std::move(hooks));
    state_->link->start();
}

Subscription::~Subscription()
{
    state_->stopped = true;
    state_->link->stop();
}

void Subscription::add(std::string channel)
{
    const auto [at, fresh] = state_->channels.insert(std::move(channel));
    if (fresh && state_->link->up()) state_->link->connection()->send_plain({"SUBSCRIBE", *at});
}

void Subscription::remove(std::string channel)
{
    if (state_->channels.erase(channel) > 0 && state_->link->up())
        state_->link->connection()->send_plain({"UNSUBSCRIBE", std::move(channel)});
}

void Subscription::State::ask(Connection& connection)
{
    RedisCommand plain{"SUBSCRIBE"};
    plain.insert(plain.end(), channels.begin(), channels.end());
    RedisCommand patterns{"PSUBSCRIBE"};
    patterns.insert(patterns.end(), listener.patterns.begin(), listener.patterns.end());
    unconfirmed = plain.size() + patterns.size() - 2;
    if (plain.size() > 1) connection.send_plain(plain);
    if (patterns.size() > 1) connection.send_plain(patterns);
    if (unconfirmed == 0 && listener.connected) listener.connected();
}

void Subscription::State::hear(RedisReply reply)
{
    if (stopped) return;
    if (reply.type == RedisReply::Type::error) return link->reject(reply.text); // NOPERM and such
    const Heard heard = parse_heard(std::move(reply));
    if (heard.what == Heard::What::confirmed) return confirm();
    if (heard.what == Heard::What::message && listener.message)
        listener.message(heard.pattern, heard.channel, heard.bytes);
}

/// The first confirmations are those of `ask`, because answers keep the order of what was asked.
void Subscription::State::confirm()
{
    if (unconfirmed == 0) return;
    if (--unconfirmed == 0 && listener.connected) listener.connected();
}

} // namespace cluster::app
