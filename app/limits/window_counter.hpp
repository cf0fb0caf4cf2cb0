// Counting by windows in this process alone: what decides while the shared count is away. Pure.
#pragma once

#include "app/limits/rate_limiter.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>

namespace cluster::app {

/// How many requests, in how long.
struct RateLimit {
    int max = 100;
    milliseconds window{60'000};
};

/// What is left when `count` requests were made and the window ends in `reset`.
[[nodiscard]] Quota quota_of(const RateLimit& limit, std::int64_t count, milliseconds reset);

class WindowCounter {
public:
    /// Remembers at most `max_clients`; one more makes it forget the one whose window ends first.
    WindowCounter(RateLimit limit, std::size_t max_clients)
        : limit_{limit}, max_clients_{max_clients}
    {
    }

    Quota take(const std::string& client, milliseconds now);
    [[nodiscard]] std::size_t size() const { return windows_.size(); }

private:
    struct Window {
        std::int64_t count;
        milliseconds ends;
        std::multimap<milliseconds, std::string>::iterator place;
    };

    void make_room(milliseconds now);

    RateLimit limit_;
    std::size_t max_clients_;
    std::unordered_map<std::string, Window> windows_;
    std::multimap<milliseconds, std::string> by_end_;
};

} // namespace cluster::app
