#include "ipc/net/client.hpp"

#include "ipc/base/home.hpp"
#include "ipc/base/version.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cluster::ipc {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHandshakeLimit{5000};
constexpr int kIdleMs = 100; ///< see OnIdle

/// Returns when there is something to read, or an error that reading will tell.
void wait_idly(int fd, const OnIdle& on_idle)
{
    pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
    while (::poll(&readable, 1, kIdleMs) == 0)
        on_idle();
}

std::unexpected<RpcError> unreachable(std::string why)
{
    return std::unexpected(
        RpcError{.code = kUnreachable, .message = std::move(why), .data = nullptr});
}

RpcError error_of(const json& answer)
{
    const json error = answer.value("error", json{});
    RpcError made{.code = kUnreachable, .message = "the daemon sent no answer", .data = nullptr};
    if (!error.is_object()) return made;
    made.code = error.value("code", kInternalError);
    made.message = error.value("message", std::string{});
    made.data = error.value("data", json{});
    return made;
}

/// Calls `on_notification` and says true when `message` is one.
bool notified(const json& message, const OnNotification& on_notification)
{
    const auto method = message.find("method");
    if (method == message.end() || !method->is_string()) return false;
    if (on_notification)
        on_notification(method->get_ref<const std::string&>(), message.value("params", json{}));
    return true;
}

RpcResult<json> parse_answer(std::string_view frame)
{
    json message = json::parse(frame, nullptr, false);
    if (!message.is_object()) return unreachable("the daemon sent something that is no answer");
    return message;
}

} // namespace

Result<Client> Client::connect(const std::string& home)
{
    const HomePaths paths{home};
    if (auto fits = check_socket_path(paths.socket); !fits) return std::unexpected(fits.error());
    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!socket) return fail(errno, "socket");
    // A daemon that is stopped or swamped must not hang the command: bounds connect and send.
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, paths.socket.c_str(), paths.socket.size() + 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return fail(errno, "connect to " + paths.socket);
    return Client{std::move(socket)};
}

RpcResult<int> Client::send(std::string_view method, const json& params)
{
    const int id = next_id_++;
    std::string out;
    if (!std::exchange(hello_sent_, true)) {
        out = request_frame(0, "hello", {{"protocol", kProtocolVersion}, {"client", name_}});
    }
    out += request_frame(id, method, params);
    for (std::size_t sent = 0; sent < out.size();) {
        const ssize_t size =
            ::send(socket_.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN)
            return unreachable("the daemon does not read: is it stopped?");
        // It may have said why before it closed (a refusal): that answer is still to be read.
        if (size < 0 && errno == EPIPE && !greeted_) break;
        if (size < 0) return unreachable("the daemon closed the connection");
        sent += static_cast<std::size_t>(size);
    }
    return id;
}

RpcResult<void> Client::greet()
{
    if (greeted_) return {};
    const auto line = frame(kHandshakeLimit);
    if (!line) return std::unexpected(line.error());
    const auto answer = parse_answer(*line);
    if (!answer) return std::unexpected(answer.error());
    return take_greeting(*answer);
}

RpcResult<void> Client::take_greeting(const json& answer)
{
    if (answer.contains("error")) return std::unexpected(error_of(answer));
    greeted_ = true;
    about_ = answer.value("result", json::object());
    return {};
}

RpcResult<std::size_t> Client::receive(char* into, std::size_t size, milliseconds limit)
{
    pollfd readable{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    while (limit.count() > 0) {
        const int ready = ::poll(&readable, 1, static_cast<int>(limit.count()));
        if (ready > 0) break;
        if (ready == 0)
            return unreachable(fmt::format("the daemon did not answer within {} s: is it stopped?",
                                           limit.count() / 1000));
        if (errno != EINTR) return unreachable("poll: " + errno_text(errno));
    }
    while (true) {
        const ssize_t got = ::recv(socket_.get(), into, size, 0);
        if (got > 0) return static_cast<std::size_t>(got);
        if (got < 0 && errno == EINTR) continue;
        return unreachable("the daemon closed the connection");
    }
}

RpcResult<std::string_view> Client::frame(milliseconds limit, const OnIdle& on_idle)
{
    while (true) {
        if (const auto line = reader_.next()) return *line;
        if (on_idle) wait_idly(socket_.get(), on_idle);
        if (auto read = read_once(limit); !read) return std::unexpected(read.error());
    }
}

RpcResult<void> Client::read_once(milliseconds limit)
{
    std::array<char, 65536> chunk;
    const auto size = receive(chunk.data(), chunk.size(), limit);
    if (!size) return std::unexpected(size.error());
    (void)reader_.push({chunk.data(), *size}); // no limit was set: cannot refuse
    return {};
}

RpcResult<json> Client::call(std::string_view method, const json& params,
                             const OnNotification& on_notification, const OnIdle& on_idle)
{
    const auto id = send(method, params);
    if (!id) return std::unexpected(id.error());
    if (auto greeting = greet(); !greeting) return std::unexpected(greeting.error());
    while (true) {
        const auto line = frame(milliseconds{0}, on_idle);
        if (!line) return std::unexpected(line.error());
        auto message = parse_answer(*line);
        if (!message) return std::unexpected(message.error());
        if (notified(*message, on_notification)) continue;
        if (message->contains("error")) return std::unexpected(error_of(*message));
        if (message->value("id", json{}) == *id) return std::move((*message)["result"]);
    }
}

RpcResult<void> Client::call_raw(std::string_view method, const json& params,
                                 const std::function<void(std::string_view)>& sink)
{
    const auto id = send(method, params);
    if (!id) return std::unexpected(id.error());
    if (auto greeting = greet(); !greeting) return std::unexpected(greeting.error());
    const std::string prefix = result_prefix(*id);

    std::array<char, 65536> chunk;
    std::string held{reader_.rest()};
    bool streaming = false;
    while (true) {
        if (!streaming && held.size() >= prefix.size()) {
            streaming = held.starts_with(prefix);
            if (streaming) held.erase(0, prefix.size());
        }
        const bool ended = held.ends_with('\n');
        if (streaming && held.size() > 2) {
            // "}\n" ends the frame and is not part of the result.
            const std::size_t size = held.size() - 2;
            sink(std::string_view{held}.substr(0, size));
            held.erase(0, size);
        }
        if (ended) break;
        const auto size = receive(chunk.data(), chunk.size(), milliseconds{0});
        if (!size) return std::unexpected(size.error());
        held.append(chunk.data(), *size);
    }
    if (streaming) return {};
    const auto answer = parse_answer(held);
    return std::unexpected(answer ? error_of(*answer) : answer.error());
}

RpcResult<int> Client::post(std::string_view method, const json& params)
{
    return send(method, params);
}

RpcResult<void> Client::take(const std::function<void(const json& message)>& each)
{
    // The first may have been read together with an answer that was waited for.
    auto next = reader_.next();
    if (!next) {
        if (auto read = read_once(milliseconds{0}); !read) return read;
        next = reader_.next();
    }
    for (; next; next = reader_.next()) {
        const auto message = parse_answer(*next);
        if (!message) return std::unexpected(message.error());
        if (greeted_)
            each(*message);
        else if (auto greeting = take_greeting(*message); !greeting)
            return greeting;
    }
    return {};
}

Result<void>
Client::listen(const std::function<bool(std::string_view, const json&)>& on_notification)
{
    bool wanted = true;
    const OnNotification forward = [&](std::string_view method, const json& params) {
        wanted = on_notification(method, params);
    };
    while (wanted) {
        const auto line = frame(milliseconds{0});
        if (!line) return {}; // the daemon has gone: the stream ends
        const auto message = parse_answer(*line);
        if (!message) return fail(EPROTO, message.error().message);
        notified(*message, forward);
    }
    return {};
}

} // namespace cluster::ipc
