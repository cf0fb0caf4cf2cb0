// A scrape reaches one process and answers for all: what the others would measure when they are
// scraped (memory, pools, connections) they have to measure without being asked.
#pragma once

#include "app/metrics/registry.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>

namespace cluster::app {

namespace asio = boost::asio;

class Refresher {
public:
    /// `registry` must outlive it.
    Refresher(asio::io_context& io, Registry& registry, std::chrono::milliseconds every)
        : timer_{io}, registry_{registry}, every_{every}
    {
    }
    void start();
    /// Nothing of it is left in the loop afterwards.
    void stop();

private:
    asio::steady_timer timer_;
    Registry& registry_;
    std::chrono::milliseconds every_;
    bool stopped_ = false;
};

} // namespace cluster::app
