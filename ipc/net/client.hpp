// The client's end of the control socket: synchronous, without an event loop, because a command
// asks one thing and its start-up time is what users feel.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/frame.hpp"
#include "ipc/wire/rpc.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// Method and params of a notification.
using OnNotification = std::function<void(std::string_view, const json&)>;

/// Called ten times a second while nothing arrives: whoever shows the time lets it go on.
using OnIdle = std::function<void()>;

class Client {
public:
    /// Connects to the daemon of `home`; starts nothing. Errors: no_such_file_or_directory and
    /// connection_refused when no daemon is there. `hello` goes out with the first call.
    static Result<Client> connect(const std::string& home);

    /// How the daemon calls us in the causes of what it does for us. Before the first call.
    void introduce(std::string as) { name_ = std::move(as); }

    /// Sends one request and hands notifications on until its answer comes. The handshake must be
    /// answered within 5 s, the request itself may take as long as it takes. Errors: what the
    /// daemon answered, or kUnreachable.
    RpcResult<json> call(std::string_view method, const json& params,
                         const OnNotification& on_notification = {}, const OnIdle& on_idle = {});

    /// The same, but the text of the result goes to `sink` in pieces, unparsed.
    RpcResult<void> call_raw(std::string_view method, const json& params,
                             const std::function<void(std::string_view)>& sink);

    /// Hands notifications on until the callback says false or the daemon closes (no error).
    Result<void> listen(const std::function<bool(std::string_view, const json&)>& on_notification);

    // For whoever waits for more than this one connection.

    /// Sends a request without waiting for its answer, which `take` brings. Returns its id.
    RpcResult<int> post(std::string_view method, const json& params);
    /// Reads what has come (once; waits when nothing has) and hands on each message that is
    /// complete, notifications and answers. Errors: kUnreachable once the connection has ended;
    /// what the daemon answered to `hello`.
    RpcResult<void> take(const std::function<void(const json& message)>& each);

    /// What the daemon said of itself when it answered `hello`: `version`, `pid`, `guardian_pid`.
    [[nodiscard]] const json& about() const { return about_; }
    [[nodiscard]] int fd() const { return socket_.get(); }

private:
    explicit Client(UniqueFd socket) : socket_{std::move(socket)} {}

    RpcResult<int> send(std::string_view method, const json& params);
    RpcResult<void> greet();
    RpcResult<void> take_greeting(const json& answer);
    RpcResult<void> read_once(std::chrono::milliseconds limit);
    /// One frame into `frame_`, reading as needed. `limit` 0 waits for ever.
    RpcResult<std::string_view> frame(std::chrono::milliseconds limit, const OnIdle& on_idle = {});
    RpcResult<std::size_t> receive(char* into, std::size_t size, std::chrono::milliseconds limit);

    std::string name_ = "clusterctl";
    UniqueFd socket_;
    FrameReader reader_;
    int next_id_ = 1;
    bool hello_sent_ = false;
    bool greeted_ = false; ///< its answer has come
    json about_ = json::object();
};

} // namespace cluster::ipc
