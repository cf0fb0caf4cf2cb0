#include "cli/session.hpp"

#include "cli/daemon_starter.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace cluster::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kShutdownLimit = 10s; ///< how long a daemon that shuts down is waited for
constexpr auto kRepeatLimit = 2s;    ///< how long a lost connection is made anew
constexpr int kPauseMs = 20;

/// May be asked twice without harm.
bool is_repeatable(std::string_view method)
{
    constexpr std::array<std::string_view, 12> kHarmless{
        "ping",          "list", "jlist",     "env",    "describe", "logs.follow",
        "events.follow", "save", "cleardump", "doctor", "settings", "settings.set"};
    return std::ranges::find(kHarmless, method) != kHarmless.end();
}

} // namespace

Session::Session(std::string home, const ipc::Clock& clock, std::function<void()> on_start)
    : home_{std::move(home)}, clock_{clock}, on_start_{std::move(on_start)}
{
}

ipc::RpcResult<void> Session::connect()
{
    if (client_) return {};
    if (!starts_again_ && connections_ > 0) {
        if (reconnect()) return {};
        return std::unexpected(
            ipc::RpcError{ipc::kUnreachable, "the daemon has ended", ipc::json{}});
    }
    auto client = connect_or_start(home_, clock_, on_start_,
                                   begin_empty_ && connections_ == 0 ? Beginning::empty
                                                                     : Beginning::restored);
    if (!client)
        return std::unexpected(
            ipc::RpcError{ipc::kUnreachable, std::move(client.error()), ipc::json{}});
    take(std::move(*client));
    return {};
}

void Session::take(ipc::Client client)
{
    client_.emplace(std::move(client));
    client_->introduce(name_);
    ++connections_;
    proven_ = false;
}

void Session::disconnect()
{
    client_.reset();
    proven_ = false;
}

bool Session::reconnect()
{
    disconnect();
    auto client = connect_again(home_, clock_);
    if (!client) return false;
    take(std::move(*client));
    return proven_ = true;
}

/// A connection to a daemon that is just ending is closed without a word. What changes nothing is
/// simply asked again; anything else is preceded by a `ping` on a new connection.
template <class T>
ipc::RpcResult<T> Session::attempt(std::string_view method,
                                   const std::function<ipc::RpcResult<T>(ipc::Client&)>& request)
{
    const bool repeatable = is_repeatable(method);
    const auto begin = clock_.now();
    std::optional<ipc::milliseconds> broken_at;
    while (true) {
        if (!repeatable && !proven_) {
            if (const auto pong = call("ping", ipc::json::object()); !pong) {
                broke_ = false; // nothing was asked yet
                return std::unexpected(pong.error());
            }
        }
        broke_ = false;
        const auto asked_at = clock_.now();
        if (auto connected = connect(); !connected) return std::unexpected(connected.error());
        auto answer = request(*client_);
        const int code = answer ? 0 : answer.error().code;
        if (code != ipc::kUnreachable && code != ipc::kShuttingDown) {
            proven_ = true;
            return answer;
        }
        const auto now = clock_.now();
        if (code == ipc::kUnreachable) {
            broke_ = true;
            // One that never answered at all has been waited for already.
            if (!broken_at) broken_at = proven_ ? now : asked_at;
        }
        disconnect();
        if (broke_ && (!repeatable || now - *broken_at >= kRepeatLimit)) return answer;
        if (!broke_ && now - begin >= kShutdownLimit) return answer;
        ::poll(nullptr, 0, kPauseMs);
    }
}

ipc::RpcResult<ipc::json> Session::call(std::string_view method, const ipc::json& params,
                                        const ipc::OnNotification& on_notification,
                                        const ipc::OnIdle& on_idle)
{
    return attempt<ipc::json>(method, [&](ipc::Client& client) {
        return client.call(method, params, on_notification, on_idle);
    });
}

ipc::RpcResult<std::string> Session::call_text(std::string_view method, const ipc::json& params)
{
    return attempt<std::string>(method, [&](ipc::Client& client) -> ipc::RpcResult<std::string> {
        std::string text;
        const auto done = client.call_raw(method, params,
                                          [&text](std::string_view piece) { text.append(piece); });
        if (!done) return std::unexpected(done.error());
        return text;
    });
}

ipc::Result<void>
Session::listen(const std::function<bool(std::string_view, const ipc::json&)>& each)
{
    return client_ ? client_->listen(each) : ipc::Result<void>{};
}

} // namespace cluster::cli
