// The next moment of a cron pattern, in local time (TZ, /etc/localtime). Pure but for the C
// library's time zone.
#pragma once

#include "ipc/wire/cron.hpp"

#include <cstdint>
#include <optional>

namespace cluster::supervisor {

/// The first moment after `wall_ms` (since 1970) that `pattern` takes; nothing when there is none
/// within 28 years. When clocks are changed (man 8 cron does the same): a time of day that a day
/// does not have is due at the change, one that it has twice is due the first time; a pattern of
/// every hour simply goes on.
[[nodiscard]] std::optional<std::int64_t> next_cron_time(const ipc::CronPattern& pattern,
                                                         std::int64_t wall_ms);

} // namespace cluster::supervisor
