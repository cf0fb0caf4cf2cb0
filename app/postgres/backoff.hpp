// How long to wait before the next try. Pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace cluster::app {

struct Backoff {
    std::chrono::milliseconds first;
    std::chrono::milliseconds most;

    /// Doubles with each of `failures` (1, 2, …) up to `most`; then somewhere between half of it
    /// and the whole by `chance` (0 to 1), so that many do not come together again.
    [[nodiscard]] std::chrono::milliseconds wait(int failures, double chance) const
    {
        const double grown = static_cast<double>(first.count()) *
                             static_cast<double>(1U << std::clamp(failures - 1, 0, 20));
        const double whole = std::min(grown, static_cast<double>(most.count()));
        return std::chrono::milliseconds{static_cast<long>(whole * (0.5 + chance / 2))};
    }
};

} // namespace cluster::app
