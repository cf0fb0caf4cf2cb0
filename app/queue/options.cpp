#include "app/queue/options.hpp"

namespace cluster::app {

QueueOptions read_queue_options(Environment& environment)
{
    using std::chrono::days;
    using std::chrono::minutes;
    QueueOptions options;
    const auto ms = [&](std::string_view name, milliseconds fallback, int low, int high) {
        return milliseconds{
            environment.number(name, static_cast<int>(fallback.count()), low, high)};
    };
    options.hold = ms("QUEUE_HOLD_MS", options.hold, 100, 3'600'000);
    options.job_limit = ms("QUEUE_JOB_TIMEOUT_MS", options.job_limit, 100, 86'400'000);
    options.keep_done =
        environment.duration("QUEUE_KEEP_DONE", options.keep_done, minutes{1}, days{365});
    options.max_losses = environment.number("QUEUE_MAX_LOSSES", options.max_losses, 0, 1000);
    options.concurrency = environment.number("WORKER_CONCURRENCY", options.concurrency, 1, 64);
    options.directory = environment.text("DATA_DIR", options.directory);
    return options;
}

} // namespace cluster::app
