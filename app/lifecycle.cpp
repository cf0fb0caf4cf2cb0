#include "app/lifecycle.hpp"

#include <exception>
#include <ranges>

namespace cluster::app {

asio::awaitable<Result<void>> Lifecycle::start()
{
    for (auto& [name, step] : starts_) {
        auto started = co_await step();
        if (!started) {
            started.error().what = "start " + name + ": " + started.error().what;
            co_return started;
        }
    }
    co_return Result<void>{};
}

void Lifecycle::drain()
{
    for (const auto& hook : drains_)
        hook();
}

asio::awaitable<void> Lifecycle::close()
{
    for (auto& [name, step] : closes_ | std::views::reverse) {
        std::string failure;
        try {
            co_await step();
        } catch (const std::exception& error) {
            failure = error.what();
        }
        if (!failure.empty()) log_.error("close " + name, {{"error", failure}});
    }
}

} // namespace cluster::app
