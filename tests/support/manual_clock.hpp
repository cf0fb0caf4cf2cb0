// A clock that stands still until a test moves it.
#pragma once

#include "ipc/base/clock.hpp"

namespace cluster::tests {

class ManualClock final : public ipc::Clock {
public:
    [[nodiscard]] ipc::milliseconds now() const override { return now_; }
    [[nodiscard]] std::int64_t wall_ms() const override { return kEpoch + now_.count(); }

    void advance(ipc::milliseconds by) { now_ += by; }

private:
    static constexpr std::int64_t kEpoch = 1'790'000'000'000;
    ipc::milliseconds now_{1'000'000}; ///< not 0, which means "never" in places
};

} // namespace cluster::tests
