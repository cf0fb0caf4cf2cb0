// How many packets one client may send. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace cluster::app {

using std::chrono::milliseconds;

/// A token bucket: `per_second` packets a second, and as many as in `kBurst` at once. 0: any
/// number.
class EventBudget {
public:
    static constexpr double kBurst = 5.0; ///< seconds

    EventBudget(std::size_t per_second, milliseconds now)
        : rate_{static_cast<double>(per_second)}, left_{rate_ * kBurst}, filled_{now}
    {
    }

    /// Takes one; false: it sends too fast.
    [[nodiscard]] bool take(milliseconds now)
    {
        if (rate_ <= 0) return true;
        const double seconds = std::chrono::duration<double>(now - filled_).count();
        filled_ = now;
        left_ = std::min(left_ + seconds * rate_, rate_ * kBurst);
        if (left_ < 1) return false;
        left_ -= 1;
        return true;
    }

private:
    double rate_;
    double left_;
    milliseconds filled_;
};

} // namespace cluster::app
