// How far a replica is behind. It is not asked for its opinion: one that has lost touch with the
// primary believes that it has everything. Instead the primary is asked where its log ends, now
// and then; a replica that has replayed the log up to such a point lacks at most what was written
// since. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace cluster::app {

class LagMeter {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// The primary's log ended at `lsn` at a time not before `asked`.
    void note_primary(Time asked, std::int64_t lsn)
    {
        points_.push_back({asked, lsn});
        if (points_.size() > kMost) points_.pop_front();
    }

    /// An upper bound for what a replica lacks at `now` that has replayed up to `lsn`; nothing when
    /// it lacks more than can be told.
    [[nodiscard]] std::optional<std::chrono::milliseconds> behind(Time now, std::int64_t lsn) const
    {
        for (auto point = points_.rbegin(); point != points_.rend(); ++point)
            if (point->lsn <= lsn)
                return std::chrono::duration_cast<std::chrono::milliseconds>(now - point->at);
        return std::nullopt;
    }

private:
    struct Point {
        Time at;
        std::int64_t lsn;
    };
    static constexpr std::size_t kMost = 120; // two minutes at one each second
    std::deque<Point> points_;
};

} // namespace cluster::app
