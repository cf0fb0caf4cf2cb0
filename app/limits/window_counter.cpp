#include "app/limits/window_counter.hpp"

#include <algorithm>

namespace cluster::app {

Quota quota_of(const RateLimit& limit, std::int64_t count, milliseconds reset)
{
    const auto left = std::max<std::int64_t>(limit.max - count, 0);
    return {.allowed = count <= limit.max,
            .limit = limit.max,
            .remaining = static_cast<int>(left),
            .reset = std::clamp(reset, milliseconds{0}, limit.window)};
}

Quota WindowCounter::take(const std::string& client, milliseconds now)
{
    make_room(now);
    auto found = windows_.find(client);
    if (found == windows_.end()) {
        if (windows_.size() >= max_clients_) {
            windows_.erase(by_end_.begin()->second);
            by_end_.erase(by_end_.begin());
        }
        const milliseconds ends = now + limit_.window;
        found = windows_.emplace(client, Window{0, ends, by_end_.emplace(ends, client)}).first;
    }
    Window& window = found->second;
    ++window.count;
    return quota_of(limit_, window.count, window.ends - now);
}

/// Forgets the windows that have ended.
void WindowCounter::make_room(milliseconds now)
{
    while (!by_end_.empty() && by_end_.begin()->first <= now) {
        windows_.erase(by_end_.begin()->second);
        by_end_.erase(by_end_.begin());
    }
}

} // namespace cluster::app
