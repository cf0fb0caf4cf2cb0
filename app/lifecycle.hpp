// What has to happen around the serving, in order: roles are started one after the other, told when
// the server drains, and closed in the opposite order when nothing is in flight any more.
#pragma once

#include "app/base/log.hpp"
#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;

class Lifecycle {
public:
    explicit Lifecycle(Log& log) : log_{log} {}

    using Start = std::function<asio::awaitable<Result<void>>()>;
    using Close = std::function<asio::awaitable<void>()>;

    /// Runs before the server accepts, in the order of the calls. An error ends the start-up: a
    /// role that can do without what is away must not fail for it.
    void on_start(std::string name, Start start)
    {
        starts_.emplace_back(std::move(name), std::move(start));
    }
    /// Called once when the server stops accepting: connections that were taken over are told to go
    /// elsewhere. Must not throw.
    void on_drain(std::function<void()> hook) { drains_.push_back(std::move(hook)); }
    /// Runs after the last session has ended, in the opposite order of the calls.
    void on_close(std::string name, Close close)
    {
        closes_.emplace_back(std::move(name), std::move(close));
    }

    [[nodiscard]] asio::awaitable<Result<void>> start();
    void drain();
    /// Whatever one of them throws is logged, and the next one is closed.
    [[nodiscard]] asio::awaitable<void> close();

private:
    Log& log_;
    std::vector<std::pair<std::string, Start>> starts_;
    std::vector<std::function<void()>> drains_;
    std::vector<std::pair<std::string, Close>> closes_;
};

} // namespace cluster::app
