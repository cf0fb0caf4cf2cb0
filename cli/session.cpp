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
    constexpr std::array<std::string_view, 6> kReading{"ping", "list",     "jlist",
                                                       "env",  "describe", "logs.follow"};
    return std::ranges::find(kReading, method) != kReading.end();
}

} // namespace

Session::Session(std::string home, const ipc::Clock& clock, std::function<void()> on_start)
    : home_{std::move(home)}, clock_{clock}, on_start_{std::move(on_start)}
{
}

ipc::RpcResult<void> Session::connect()
{
    if (client_) return {};
    auto client = connect_or_start(home_, clock_, on_start_);
    if (!client)
        return std::unexpected(
            ipc::RpcError{ipc::kUnreachable, std::move(client.error()), ipc::json{}});
    client_.emplace(std::move(*client));
    proven_ = false;
    return {};
}

/// A connection to a daemon that is just ending is closed without a word. What changes nothing is
/// simply asked again; anything else is preceded by a `ping` on a new connection.
template <class T>
ipc::RpcResult<T> Session::attempt(std::string_view method,
                                   const std::function<ipc::RpcResult<T>(ipc::Client&)>& request)
{
    const bool repeatable = is_repeatable(method);
    const auto begin = clock_.now();
    while (true) {
        if (!repeatable && !proven_)
            if (const auto pong = call("ping", ipc::json::object()); !pong)
                return std::unexpected(pong.error());
        if (auto connected = connect(); !connected) return std::unexpected(connected.error());
        auto answer = request(*client_);
        const int code = answer ? 0 : answer.error().code;
        const auto spent = clock_.now() - begin;
        const bool lost =
            code == ipc::kUnreachable && repeatable && !proven_ && spent < kRepeatLimit;
        const bool leaving = code == ipc::kShuttingDown && spent < kShutdownLimit;
        if (!lost && !leaving) {
            proven_ = code != ipc::kUnreachable;
            return answer;
        }
        client_.reset();
        proven_ = false;
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

ipc::RpcResult<void> Session::call_raw(std::string_view method, const ipc::json& params,
                                       const std::function<void(std::string_view)>& sink)
{
    return attempt<void>(
        method, [&](ipc::Client& client) { return client.call_raw(method, params, sink); });
}

ipc::Result<void>
Session::listen(const std::function<bool(std::string_view, const ipc::json&)>& each)
{
    return client_ ? client_->listen(each) : ipc::Result<void>{};
}

} // namespace cluster::cli
