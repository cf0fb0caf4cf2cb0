// What both forms of the queue agree on, without a queue: names, limits, backoff. Pure.
#pragma once

#include "app/queue/queue.hpp"

#include <string_view>

namespace cluster::app {

inline constexpr std::size_t kMaxPayloadBytes = 1 << 20;
inline constexpr std::size_t kMaxReasonBytes = 1000;
inline constexpr milliseconds kMaxBackoff{3'600'000};

[[nodiscard]] std::string_view name_of(QueueState state);
[[nodiscard]] std::optional<QueueState> queue_state_of(std::string_view name);
[[nodiscard]] std::string_view name_of(QueuePriority priority);

/// 1 to 64 of a-z, 0-9 and '-': it stands in keys of Redis and in addresses.
[[nodiscard]] bool is_queue_name(std::string_view text);
/// 1 to 128 letters, digits, '-', '_', '.' and ':'.
[[nodiscard]] bool is_job_id(std::string_view text);

/// Why `job` cannot be added (refused), or nothing.
[[nodiscard]] Result<void> check(const NewQueueJob& job);

/// How long a job waits that has failed `failures` times (at least 1): the policy's backoff,
/// doubled with each further one, at most kMaxBackoff; up to a fifth is added by `chance` (0 to 1),
/// so that what failed together does not come back together.
[[nodiscard]] milliseconds backoff_delay(const RetryPolicy& retry, int failures, double chance);

/// Whether a job is dead that has failed so often now.
[[nodiscard]] constexpr bool is_last_failure(const RetryPolicy& retry, int failures)
{
    return failures >= retry.attempts;
}

/// At most kMaxReasonBytes of it, cut between two characters of UTF-8.
[[nodiscard]] std::string shortened(std::string reason);

} // namespace cluster::app
