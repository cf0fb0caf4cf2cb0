// Time behind a seam: monotonic for logic, wall time for display only. Only `main` builds a real
// one.
#pragma once

#include <chrono>
#include <cstdint>

namespace cluster::ipc {

using std::chrono::milliseconds;

class Clock {
public:
    virtual ~Clock() = default;
    /// Monotonic, from an unspecified start; does not jump when the wall clock is set.
    [[nodiscard]] virtual milliseconds now() const = 0;
    /// Milliseconds since 1970-01-01 UTC, for people and for PM2's `pm_uptime`, `created_at`.
    [[nodiscard]] virtual std::int64_t wall_ms() const = 0;
};

class SystemClock final : public Clock {
public:
    [[nodiscard]] milliseconds now() const override
    {
        return std::chrono::duration_cast<milliseconds>(
            std::chrono::steady_clock::now().time_since_epoch());
    }
    [[nodiscard]] std::int64_t wall_ms() const override
    {
        return std::chrono::duration_cast<milliseconds>(
                   std::chrono::system_clock::now().time_since_epoch())
            .count();
    }
};

} // namespace cluster::ipc
