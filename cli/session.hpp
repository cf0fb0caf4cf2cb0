// The connection of one command to its daemon, made when the first request needs it.
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

    /// One request; connects, and starts the daemon if there is none. A daemon that is shutting
    /// down has not touched the request: it is waited for, and a new one is asked. Errors: what the
    /// daemon answered; kUnreachable with a text for a person.
    ipc::RpcResult<ipc::json> call(std::string_view method, const ipc::json& params,
                                   const ipc::OnNotification& on_notification = {},
                                   const ipc::OnIdle& on_idle = {});

    /// The same with the result's text unparsed, in pieces.
    ipc::RpcResult<void> call_raw(std::string_view method, const ipc::json& params,
                                  const std::function<void(std::string_view)>& sink);

    /// Hands notifications on until the callback says false or the daemon closes.
    ipc::Result<void> listen(const std::function<bool(std::string_view, const ipc::json&)>& each);

    [[nodiscard]] const std::string& home() const { return home_; }

private:
    template <class T>
    ipc::RpcResult<T> attempt(std::string_view method,
                              const std::function<ipc::RpcResult<T>(ipc::Client&)>& request);
    ipc::RpcResult<void> connect();

    std::string home_;
    const ipc::Clock& clock_;
    std::function<void()> on_start_;
    std::optional<ipc::Client> client_;
    bool proven_ = false; ///< the daemon has answered on this connection
};

} // namespace cluster::cli
