// When which line of a log file was written: from the daemon's index of times, or, without one,
// when the file was written last. Pure.
#pragma once

#include "ipc/wire/log_times.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

namespace cluster::cli {

class LineTimes {
public:
    static constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();

    /// Bytes that have one and the same time.
    struct Span {
        std::uint64_t begin = 0;
        std::uint64_t end = kEnd;
        std::int64_t at = 0; ///< milliseconds since 1970; 0: nobody knows
    };

    using Records = std::vector<ipc::LogTime>;

    LineTimes() = default;
    /// `records` ascend by offset and may be shared; without any all has been written at
    /// `otherwise`.
    LineTimes(std::shared_ptr<const Records> records, std::int64_t otherwise)
        : records_{std::move(records)}, otherwise_{otherwise}
    {
    }

    /// The span that the byte at `offset` lies in. Cheap when it is near the one asked for before.
    Span span(std::uint64_t offset);

    /// A line's time is that of its last byte, when it was whole.
    std::int64_t at(std::uint64_t offset) { return span(offset).at; }

    /// No byte before this one was written at `since` or later.
    [[nodiscard]] std::uint64_t first_since(std::int64_t since) const;

private:
    [[nodiscard]] Span span_of_record(std::size_t number) const;

    std::shared_ptr<const Records> records_;
    std::int64_t otherwise_ = 0;
    Span last_{.begin = 0, .end = 0, .at = 0};
    std::size_t next_ = 0; ///< the record behind `last_`
};

} // namespace cluster::cli
