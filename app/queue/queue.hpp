// Background jobs that survive whoever works on them. A producer adds, a worker takes, and until he
// says what became of it the job is held by him alone:
//
//   add ──▶ waiting ──take──▶ active ──done──▶ done (kept for a while)
//    └─delay─▶ delayed ─due─▶ waiting   │ fail ──▶ delayed (backoff), or dead after the last
//    attempt
//                                       │ give_back ──▶ waiting
//                                       └ hold ran out: waiting again, dead when it was lost too
//                                       often
//   dead ──retry──▶ waiting
//
// A hold lasts QUEUE_HOLD_MS and is renewed while the work goes on, so a job of a killed worker is
// taken over after that time. At least once: a job is done twice only if its worker ended (or was
// away from the queue) between doing it and saying so. With Redis all hosts share the queue,
// embedded (SQLite) the processes of one host.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

enum class QueueState { waiting, delayed, active, done, dead };
enum class QueuePriority { high, normal, low };

/// What happens when a job fails.
struct RetryPolicy {
    int attempts = 3;           ///< in all, at least 1
    milliseconds backoff{1000}; ///< before the second one; doubles with each, see backoff_delay
    bool operator==(const RetryPolicy&) const = default;
};

struct NewQueueJob {
    std::string queue{};        ///< see is_queue_name
    std::string name{};         ///< what to do, for the worker: "pdf-export"
    std::string payload = "{}"; ///< JSON text, at most kMaxPayloadBytes
    milliseconds delay{0};      ///< earliest begin, from now
    QueuePriority priority = QueuePriority::normal;
    RetryPolicy retry{};
    std::string id{}; ///< one that is there already is not added again; "": a new one is made
};

/// A job as its worker has it. It is his as long as `hold` is the last one that was given out.
struct QueueJob {
    std::string queue{};
    std::string id{};
    std::string name{};
    std::string payload{};
    RetryPolicy retry{};
    int failures = 0; ///< attempts that failed before this one
    int losses = 0;   ///< workers that were lost with it
    std::string hold{};
    bool operator==(const QueueJob&) const = default;
};

/// How a job stands, for people and for who waits for it.
struct QueueJobInfo {
    std::string id{};
    std::string name{};
    std::string payload{};
    QueueState state = QueueState::waiting;
    int failures = 0;
    int losses = 0;
    int progress = 0;     ///< percent, of the attempt under way or of the last one
    std::string result{}; ///< JSON text, once done
    std::string reason{}; ///< why the last attempt failed
    std::int64_t created_ms = 0;
    std::int64_t finished_ms = 0; ///< 0 before it is done or dead
    bool operator==(const QueueJobInfo&) const = default;
};

struct QueueCounts {
    std::int64_t waiting = 0;
    std::int64_t delayed = 0;
    std::int64_t active = 0;
    std::int64_t dead = 0;
    std::int64_t done = 0; ///< ever
    bool operator==(const QueueCounts&) const = default;
};

/// Errors of all: unavailable, unknown_outcome, overloaded, refused. All but `take` may be repeated
/// after any of them: a repetition of what was done already changes nothing.
class Queue {
public:
    virtual ~Queue() = default;

    /// The id. Repeatable only with an id of one's own.
    virtual asio::awaitable<Result<std::string>> add(NewQueueJob job) = 0;

    /// The next job that is due: high priority first, else first come, first served. Waits for one
    /// for about `wait`; nothing when there was none.
    virtual asio::awaitable<Result<std::optional<QueueJob>>> take(std::string queue,
                                                                  milliseconds wait) = 0;

    // These tell of a job that is held; false: the hold was lost to another one, nothing changed.

    /// Holds it for another QUEUE_HOLD_MS; `percent` is the progress, if there is any to tell.
    virtual asio::awaitable<Result<bool>> renew(const QueueJob& job,
                                                std::optional<int> percent) = 0;
    /// `result`: JSON text.
    virtual asio::awaitable<Result<bool>> done(const QueueJob& job, std::string result) = 0;
    /// Tried again after the backoff, or dead after the last attempt.
    virtual asio::awaitable<Result<bool>> fail(const QueueJob& job, std::string reason) = 0;
    /// Somebody else shall do it, at once; counts as no attempt.
    virtual asio::awaitable<Result<bool>> give_back(const QueueJob& job) = 0;

    // For who looks at it.

    virtual asio::awaitable<Result<std::optional<QueueJobInfo>>> job(std::string queue,
                                                                     std::string id) = 0;
    virtual asio::awaitable<Result<QueueCounts>> counts(std::string queue) = 0;
    /// At most `limit`, the last to die first.
    virtual asio::awaitable<Result<std::vector<QueueJobInfo>>> dead(std::string queue,
                                                                    int limit) = 0;
    /// A dead job gets all its attempts again. false: there is no such dead job.
    virtual asio::awaitable<Result<bool>> retry(std::string queue, std::string id) = 0;
    /// Whatever its state but active. false: no such job, or it is active.
    virtual asio::awaitable<Result<bool>> remove(std::string queue, std::string id) = 0;

    /// "redis streams" or "embedded", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
};

} // namespace cluster::app
