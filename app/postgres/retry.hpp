// Whether a transaction that failed is tried again, and when. Pure.
#pragma once

#include "app/postgres/backoff.hpp"
#include "app/postgres/failure.hpp"

#include <optional>
#include <utility>

namespace cluster::app {

class PgRetry {
public:
    /// `repeatable`: doing it twice is the same as once, so that it may be tried again although
    /// nobody knows whether it was done.
    explicit PgRetry(bool repeatable) : repeatable_{repeatable} {}

    /// How long to wait before the next try; nothing: that was the last one. `chance`: 0 to 1.
    std::optional<std::chrono::milliseconds> next(const PgFailure& failure, double chance)
    {
        const bool unknown = failure.kind == Trouble::unknown_outcome;
        unknown_ = unknown_ || unknown;
        if (failure.kind == Trouble::conflict && failure.again) {
            if (++conflicts_ >= kConflicts) return std::nullopt;
            return kBackoff.wait(conflicts_, chance);
        }
        // A connection that broke: at once on another one. When the server is away that fails at
        // once too.
        const bool may = failure.again || (unknown && repeatable_);
        if (!may || ++losses_ >= kLosses) return std::nullopt;
        return std::chrono::milliseconds{0};
    }

    /// What the caller is told: that nobody knows, when one of the tries ended so and a later one
    /// could not find out.
    [[nodiscard]] PgFailure verdict(PgFailure last) const
    {
        if (unknown_ && last.kind != Trouble::conflict && last.kind != Trouble::refused)
            last.kind = Trouble::unknown_outcome;
        return last;
    }

private:
    static constexpr int kConflicts = 12; // tries; about 1.5 s in all
    static constexpr int kLosses = 3;
    static constexpr Backoff kBackoff{.first = std::chrono::milliseconds{4},
                                      .most = std::chrono::milliseconds{250}};

    bool repeatable_;
    bool unknown_ = false;
    int conflicts_ = 0;
    int losses_ = 0;
};

} // namespace cluster::app
