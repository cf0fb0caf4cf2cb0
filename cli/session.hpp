// The connection of one command to its daemon, made when the first request needs it. A daemon that
// was replaced by the next one (a crash, an upgrade) is found again.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/net/client.hpp"
#include "ipc/wire/rpc.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::cli {

class Session {
public:
    /// `on_start` is called when the daemon has to be started. Nothing is connected yet.
    Session(std::string home, const ipc::Clock& clock, std::function<void()> on_start);

    /// A daemon that has to be started begins with nothing instead of what ran before.
    void begin_empty() { begin_empty_ = true; }

    /// How the daemon calls us in the causes of what it does for us.
    void introduce(std::string as) { name_ = std::move(as); }

    /// One request; connects, and starts the daemon if there is none. A daemon that is shutting
    /// down has not touched the request: it is waited for, and a new one is asked. What may be
    /// asked twice without harm is asked again, for up to 2 s, when the connection breaks. Errors:
    /// what the daemon answered; kUnreachable with a text for a person.
    ipc::RpcResult<ipc::json> call(std::string_view method, const ipc::json& params,
                                   const ipc::OnNotification& on_notification = {},
                                   const ipc::OnIdle& on_idle = {});

    /// The same with the result's text unparsed.
    ipc::RpcResult<std::string> call_text(std::string_view method, const ipc::json& params);

    /// Hands notifications on until the callback says false or the daemon closes.
    ipc::Result<void> listen(const std::function<bool(std::string_view, const ipc::json&)>& each);

    /// From the first connection on no daemon is started any more: the one that was here comes back
    /// by itself, or has ended and is to stay so.
    void start_none_again() { starts_again_ = false; }

    /// Connects again to a daemon that came back by itself; starts none. False when there is none
    /// after 2 s.
    bool reconnect();

    /// How many connections were made: what was subscribed to on an older one is gone.
    [[nodiscard]] int connections() const { return connections_; }
    /// The last request was on its way when the connection broke: nobody knows how far it got.
    [[nodiscard]] bool broke() const { return broke_; }
    /// Of the daemon that answered last: see ipc::Client.
    [[nodiscard]] ipc::json about() const
    {
        return client_ ? client_->about() : ipc::json::object();
    }
    [[nodiscard]] const std::string& home() const { return home_; }

private:
    template <class T>
    ipc::RpcResult<T> attempt(std::string_view method,
                              const std::function<ipc::RpcResult<T>(ipc::Client&)>& request);
    ipc::RpcResult<void> connect();
    void disconnect();
    void take(ipc::Client client);

    std::string home_;
    const ipc::Clock& clock_;
    std::function<void()> on_start_;
    bool begin_empty_ = false;
    bool starts_again_ = true;
    std::string name_ = "clusterctl";
    std::optional<ipc::Client> client_;
    int connections_ = 0;
    bool proven_ = false; ///< the daemon has answered on this connection
    bool broke_ = false;
};

} // namespace cluster::cli
