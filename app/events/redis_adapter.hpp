// One namespace's share in a cluster of Socket.IO servers that talk through Redis, in the format of
// @socket.io/redis-adapter 8.3: ours and Node's are the same to each other.
//
// One thread. It must outlive its subscription's messages, so it is destroyed with the namespace.
#pragma once

#include "app/base/log.hpp"
#include "app/events/adapter_message.hpp"
#include "app/events/events_options.hpp"
#include "app/redis/redis.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

class RedisAdapter final : public EventsAdapter {
public:
    /// `local` and `redis` must outlive it.
    RedisAdapter(asio::io_context& io, Redis& redis, LocalSockets& local, std::string nsp,
                 const EventsOptions& options, Log& log);
    ~RedisAdapter() override;

    asio::awaitable<Result<void>> broadcast(Audience audience, json data,
                                            bool is_volatile) override;
    void join(const Audience& audience, const std::vector<std::string>& rooms) override;
    void leave(const Audience& audience, const std::vector<std::string>& rooms) override;
    void disconnect(const Audience& audience, bool close) override;
    asio::awaitable<Result<std::vector<SocketDescription>>> fetch(Audience audience) override;
    asio::awaitable<Result<std::vector<json>>> ask(Audience audience, json data,
                                                   milliseconds limit) override;
    asio::awaitable<Result<void>> server_side(json data) override;

private:
    /// A request of ours and what has come back so far.
    struct Wait {
        explicit Wait(asio::io_context& io) : timer{io} {}
        asio::steady_timer timer; ///< cancelled when it is complete
        std::vector<json> answers;
        std::size_t servers = 0; ///< that have told all they will tell, or how many they will
        std::optional<std::size_t> expected_servers;
        std::size_t expected_clients = 0;
        bool complete(bool by_client) const;
    };

    void heard(std::string_view pattern, std::string_view channel, std::string_view bytes);
    void take_broadcast(std::string_view channel, std::string_view bytes);
    void take_request(std::string_view bytes);
    void take_response(std::string_view bytes);
    void take_answer(Wait& wait, const json& response);
    void change_one(const AdapterAsk& request);
    void change_many(const AdapterAsk& request);
    void broadcast_here(const AdapterAsk& request);
    void tell_all(AdapterAsk request);
    void respond(const json& response, bool as_msgpack = false);
    asio::awaitable<Result<void>> publish(std::string channel, std::string bytes);
    void publish_and_forget(std::string channel, std::string bytes);
    asio::awaitable<Result<std::optional<std::size_t>>> other_servers();
    void connected();
    [[nodiscard]] bool others_listen() const;

    asio::io_context& io_;
    Redis& redis_;
    LocalSockets& local_;
    const EventsOptions& options_;
    Log& log_;
    std::string nsp_;
    std::string uid_;
    std::string channel_;  ///< "socket.io#/#"
    std::string requests_; ///< "socket.io-request#/#"
    std::string responses_;
    std::map<std::string, std::shared_ptr<Wait>, std::less<>> waits_; ///< by request id
    std::unique_ptr<RedisSubscription> subscription_;
    bool was_connected_ = false;
    asio::steady_timer settled_;  ///< until then nothing is sent, after a break
    std::shared_ptr<bool> alive_; ///< for what has been spawned and comes back later
};

} // namespace cluster::app
