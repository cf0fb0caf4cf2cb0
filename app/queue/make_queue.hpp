// The way to a queue: with Redis that of all hosts, without that of this host.
#pragma once

#include "app/queue/options.hpp"
#include "app/queue/queue.hpp"
#include "app/redis/redis.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::app {

/// `redis` may be null. All must outlive the queue, and the queue must be gone before `io`. Errors:
/// the embedded form cannot open its file.
[[nodiscard]] Result<std::unique_ptr<Queue>> make_queue(asio::io_context& io,
                                                        const ipc::Clock& clock, Redis* redis,
                                                        const QueueOptions& options);

} // namespace cluster::app
