#include "app/queue/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cluster::app {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, 5> kStates{"waiting", "delayed", "active", "done", "dead"};
constexpr std::array<std::string_view, 3> kPriorities{"high", "normal", "low"};

constexpr std::size_t kMaxQueueName = 64;
constexpr std::size_t kMaxId = 128;
constexpr std::size_t kMaxName = 128;
constexpr int kMaxAttempts = 1000;

bool is_word(std::string_view text, std::size_t max, std::string_view allowed)
{
    return !text.empty() && text.size() <= max &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

} // namespace

std::string_view name_of(QueueState state)
{
    return kStates.at(static_cast<std::size_t>(state));
}

std::optional<QueueState> queue_state_of(std::string_view name)
{
    const auto* const found = std::ranges::find(kStates, name);
    if (found == kStates.end()) return std::nullopt;
    return static_cast<QueueState>(found - kStates.begin());
}

std::string_view name_of(QueuePriority priority)
{
    return kPriorities.at(static_cast<std::size_t>(priority));
}

bool is_queue_name(std::string_view text)
{
    return is_word(text, kMaxQueueName, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

bool is_job_id(std::string_view text)
{
    return is_word(text, kMaxId,
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:");
}

Result<void> check(const NewQueueJob& job)
{
    if (!is_queue_name(job.queue))
        return trouble(Trouble::refused, "add job: the name of a queue must be 1 to 64 of a-z, 0-9 "
                                         "and '-', got \"" +
                                             job.queue + "\"");
    if (!job.id.empty() && !is_job_id(job.id))
        return trouble(Trouble::refused, "add job: its id must be 1 to 128 letters, digits or "
                                         "\"-_.:\", got \"" +
                                             job.id + "\"");
    if (job.name.empty() || job.name.size() > kMaxName)
        return trouble(Trouble::refused, "add job: its name must have 1 to 128 bytes");
    if (job.payload.size() > kMaxPayloadBytes)
        return trouble(Trouble::refused,
                       fmt::format("add job {}: its payload must have at most {} bytes, got {}",
                                   job.name, kMaxPayloadBytes, job.payload.size()));
    if (job.retry.attempts < 1 || job.retry.attempts > kMaxAttempts)
        return trouble(Trouble::refused,
                       fmt::format("add job {}: it must have 1 to {} attempts, got {}", job.name,
                                   kMaxAttempts, job.retry.attempts));
    return {};
}

milliseconds backoff_delay(const RetryPolicy& retry, int failures, double chance)
{
    const auto base = static_cast<double>(std::max<milliseconds::rep>(retry.backoff.count(), 0));
    const double doubled = std::ldexp(base, std::clamp(failures - 1, 0, 60));
    const double capped = std::min(doubled, static_cast<double>(kMaxBackoff.count()));
    return milliseconds{static_cast<milliseconds::rep>(capped * (1 + 0.2 * chance))};
}

std::string shortened(std::string reason)
{
    if (reason.size() <= kMaxReasonBytes) return reason;
    std::size_t end = kMaxReasonBytes;
    while (end > 0 && (static_cast<unsigned char>(reason[end]) & 0xC0U) == 0x80U)
        --end;
    reason.resize(end);
    return reason;
}

} // namespace cluster::app
