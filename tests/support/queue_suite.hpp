// What a queue must do, whatever its form. Needs short settings: QUEUE_HOLD_MS=600 and
// QUEUE_MAX_LOSSES=1.
#pragma once

#include "app/queue/options.hpp"
#include "app/queue/queue.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/io_context.hpp>

namespace cluster::tests {

/// 0 when all is as it should be; else says on stderr what is not.
boost::asio::awaitable<int> queue_suite(boost::asio::io_context& io, app::Queue& queue,
                                        const ipc::Clock& clock, const app::QueueOptions& options);

} // namespace cluster::tests
