// How many requests a client may make in a window of time, over all instances together. The first
// request of a client opens its window (keys `rl:*`); within it at most `max` are let through,
// however they are spread over instances, because counting and deciding is one atomic step.
#pragma once

#include "app/base/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

/// What is left to a client after this request.
struct Quota {
    bool allowed = true;
    int limit = 0;
    int remaining = 0;
    milliseconds reset{0}; ///< until its window ends
    bool operator==(const Quota&) const = default;
};

class RateLimiter {
public:
    virtual ~RateLimiter() = default;

    /// Counts one request of `client` ("user:ID" or "ip:ADDRESS"). Never fails: when the shared
    /// count cannot be had, the stated policy (RATE_LIMIT_ON_ERROR) decides.
    virtual asio::awaitable<Quota> take(std::string client) = 0;
    /// "redis" or "embedded", for people.
    [[nodiscard]] virtual std::string_view form() const = 0;
};

} // namespace cluster::app
