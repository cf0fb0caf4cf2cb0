// Socket.IO, protocol 5, above Engine.IO: takes clients into namespaces, hands their events to the
// handlers one after the other, and lets them go in an orderly way.
//
// Of each client: packets ──▶ queue ──worker, one at a time──▶ Namespace; acknowledgements pass the
// queue by, because a handler may wait for one.
#pragma once

#include "app/base/log.hpp"
#include "app/events/engine.hpp"
#include "app/events/namespace.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cluster::app {

class SocketServer final : public EngineListener {
public:
    SocketServer(asio::io_context& io, const EventsOptions& options, Metrics& metrics, Log& log);
    ~SocketServer() override;

    /// Made when it is not there yet; before the first client comes.
    Namespace& of(const std::string& name);
    /// nullptr: no such namespace.
    [[nodiscard]] Namespace* find(const std::string& name);

    /// Handles what every client has on its way to us, and lets it finish what it waits for (events
    /// with an acknowledgement, both ways), then closes it so that it connects again by itself,
    /// elsewhere. Those that are not done after `limit` are closed as they are. Ends when all have
    /// been told. (After the close nothing could be acknowledged any more, RFC 6455 section 5.5.1,
    /// so what comes then is not handled: the client may send it again without doing it twice.)
    asio::awaitable<void> drain(milliseconds limit);
    /// Called when a client has answered a ping, for each namespace that it is in.
    std::function<void(Namespace& nsp, const std::string& socket)> heartbeat;
    [[nodiscard]] std::size_t clients() const { return clients_.size(); }

    void on_open(const std::shared_ptr<EngineClient>& client) override;
    asio::awaitable<void> on_message(std::shared_ptr<EngineClient> client,
                                     EnginePacket packet) override;
    void on_heartbeat(EngineClient& client) override;
    void on_close(EngineClient& client, CloseReason reason) override;

private:
    struct Client;
    using ClientPtr = std::shared_ptr<Client>;

    asio::awaitable<void> work(ClientPtr client);
    asio::awaitable<void> handle(ClientPtr client, SocketPacket packet);
    asio::awaitable<void> connect(ClientPtr client, SocketPacket packet);
    void start_work(const ClientPtr& client);
    void refuse(Client& client, std::string_view why);
    void refuse_flood(Client& client);
    void leave(Client& client, const std::string& nsp);
    [[nodiscard]] bool is_idle(const Client& client);
    void let_go(Client& client);

    asio::io_context& io_;
    const EventsOptions& options_;
    Log& log_;
    Gauge& gauge_;
    Counter& received_;
    Counter& sent_;
    std::map<std::string, std::unique_ptr<Namespace>> namespaces_;
    std::unordered_map<std::string, ClientPtr> clients_; ///< by the session id of Engine.IO
    bool draining_ = false;
    asio::steady_timer change_; ///< cancelled when the last client has gone
};

} // namespace cluster::app
