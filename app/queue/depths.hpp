// Keeps the gauges queue_depth{queue,state} up to date: asks the queue every few seconds. Every
// instance tells the same numbers, for there is one queue: take their maximum, not their sum.
#pragma once

#include "app/metrics/metrics.hpp"
#include "app/queue/queue.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>

namespace cluster::app {

class QueueDepths {
public:
    /// Declares the gauges of each queue in `names`. All must outlive it, and it the loop's last
    /// turn.
    QueueDepths(asio::io_context& io, Queue& queue, Metrics& metrics,
                std::vector<std::string> names);

    /// Begins to ask; ends soon after `stop`.
    void start();
    void stop();

private:
    struct Watched {
        std::string name;
        std::array<Gauge*, 4> gauges; ///< waiting, delayed, active, dead
    };
    asio::awaitable<void> run();

    asio::io_context& io_;
    Queue& queue_;
    std::vector<Watched> watched_;
    asio::steady_timer pause_;
    bool stopped_ = false;
};

} // namespace cluster::app
