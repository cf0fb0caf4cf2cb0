// The settings of the queue and of who works for it.
#pragma once

#include "app/base/environment.hpp"

#include <string>

namespace cluster::app {

struct QueueOptions {
    milliseconds hold{30'000}; ///< a worker that is not heard of for so long has lost it
    milliseconds keep_done{
        86'400'000};                  ///< how long state and result of a done job can be asked for
    int max_losses = 5;               ///< a job that lost more workers than that is dead
    int concurrency = 2;              ///< jobs at a time, per process and queue
    milliseconds job_limit{600'000};  ///< an attempt that takes longer has failed
    std::string directory = "./data"; ///< of queue.db, in the embedded form
};

/// QUEUE_HOLD_MS, QUEUE_KEEP_DONE, QUEUE_MAX_LOSSES, WORKER_CONCURRENCY, QUEUE_JOB_TIMEOUT_MS,
/// DATA_DIR.
[[nodiscard]] QueueOptions read_queue_options(Environment& environment);

} // namespace cluster::app
