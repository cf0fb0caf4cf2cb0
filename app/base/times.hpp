// Times as people and APIs write them.
#pragma once

#include <cstdint>
#include <string>

namespace cluster::app {

/// ISO 8601 in UTC, to the millisecond: "2026-11-22T15:12:44.123Z". `wall_ms`: since 1970.
[[nodiscard]] std::string iso_time(std::int64_t wall_ms);

} // namespace cluster::app
