#include "cli/log_merge.hpp"

#include <algorithm>
#include <utility>

namespace cluster::cli {

LogMerge::LogMerge(std::vector<std::unique_ptr<LineSource>> sources) : sources_{std::move(sources)}
{
}

bool LogMerge::later(const Head& a, const Head& b)
{
    return a.at != b.at ? a.at > b.at : a.source > b.source;
}

bool LogMerge::next()
{
    if (begun_) {
        advance();
        return !heads_.empty();
    }
    begun_ = true;
    for (std::size_t source = 0; source < sources_.size(); ++source)
        if (sources_[source]->next()) heads_.push_back({sources_[source]->at(), source});
    std::ranges::make_heap(heads_, later);
    return !heads_.empty();
}

void LogMerge::advance()
{
    if (heads_.empty()) return;
    Head& front = heads_.front();
    LineSource& source = *sources_[front.source];
    if (!source.next()) {
        sources_[front.source].reset();
        std::ranges::pop_heap(heads_, later);
        heads_.pop_back();
        return;
    }
    front.at = source.at();
    // Usually the same source goes on for a while, and nothing has to move.
    const auto second = heads_.size() < 2                                  ? heads_.end()
                        : heads_.size() < 3 || later(heads_[2], heads_[1]) ? heads_.begin() + 1
                                                                           : heads_.begin() + 2;
    if (second == heads_.end() || !later(front, *second)) return;
    std::ranges::pop_heap(heads_, later);
    std::ranges::push_heap(heads_, later);
}

} // namespace cluster::cli
