#include "app/queue/depths.hpp"

#include "app/queue/rules.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>

namespace cluster::app {
namespace {

constexpr std::chrono::seconds kPause{5};

} // namespace

QueueDepths::QueueDepths(asio::io_context& io, Queue& queue, Metrics& metrics,
                         std::vector<std::string> names)
    : io_{io}, queue_{queue}, pause_{io}
{
    for (std::string& name : names) {
        const auto gauge = [&](QueueState state) {
            return &metrics.gauge("queue_depth", "Background jobs by queue and state.",
                                  {{"queue", name}, {"state", std::string{name_of(state)}}});
        };
        const std::array gauges{gauge(QueueState::waiting), gauge(QueueState::delayed),
                                gauge(QueueState::active), gauge(QueueState::dead)};
        watched_.push_back({.name = std::move(name), .gauges = gauges});
    }
}

void QueueDepths::start()
{
    asio::co_spawn(io_, run(), [](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure); // a bug: nothing in it throws
    });
}

void QueueDepths::stop()
{
    stopped_ = true;
    pause_.cancel();
}

asio::awaitable<void> QueueDepths::run()
{
    while (!stopped_) {
        for (const Watched& watched : watched_) {
            auto counting = queue_.counts(watched.name);
            const auto counts = co_await std::move(counting);
            if (!counts) continue; // the last ones stay; that it is away is told elsewhere
            const std::array values{counts->waiting, counts->delayed, counts->active, counts->dead};
            for (std::size_t i = 0; i < values.size(); ++i)
                watched.gauges[i]->set(static_cast<double>(values[i]));
        }
        if (stopped_) co_return;
        pause_.expires_after(kPause);
        auto waiting = pause_.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
    }
}

} // namespace cluster::app
