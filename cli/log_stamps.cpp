#include "cli/log_stamps.hpp"

#include <algorithm>
#include <iterator>

namespace cluster::cli {

LineTimes::Span LineTimes::span_of_record(std::size_t number) const
{
    const ipc::LogTime& record = (*records_)[number];
    const bool last = number + 1 == records_->size();
    return {record.offset, last ? kEnd : (*records_)[number + 1].offset, record.wall_ms};
}

LineTimes::Span LineTimes::span(std::uint64_t offset)
{
    if (offset >= last_.begin && offset < last_.end) return last_;
    if (!records_ || records_->empty()) return last_ = {0, kEnd, otherwise_};
    // What stands before the first record was written by somebody who kept no index.
    if (offset < records_->front().offset) {
        next_ = 0;
        return last_ = {0, records_->front().offset, 0};
    }
    if (next_ < records_->size()) { // mostly it is simply the next one
        const Span next = span_of_record(next_);
        if (offset >= next.begin && offset < next.end) {
            ++next_;
            return last_ = next;
        }
    }
    const auto behind = std::ranges::upper_bound(*records_, offset, {}, &ipc::LogTime::offset);
    next_ = static_cast<std::size_t>(behind - records_->begin());
    return last_ = span_of_record(next_ - 1);
}

std::uint64_t LineTimes::first_since(std::int64_t since) const
{
    if (!records_ || records_->empty()) return otherwise_ >= since ? 0 : kEnd;
    if (since <= 0) return 0;
    const auto found = std::ranges::find_if(
        *records_, [since](const ipc::LogTime& record) { return record.wall_ms >= since; });
    return found == records_->end() ? kEnd : found->offset;
}

} // namespace cluster::cli
