// What all connections of a server share: the table of routes, the limits, and whom to ask.
#pragma once

#include "app/base/log.hpp"
#include "app/http/authenticator.hpp"
#include "app/http/observer.hpp"
#include "app/http/options.hpp"
#include "app/http/router.hpp"
#include "app/limits/rate_limiter.hpp"
#include "ipc/base/clock.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// Names for requests: randomness once per process and then a count, so that a request costs no
/// system call.
class RequestIds {
public:
    RequestIds();
    /// Of no other process and no other request.
    [[nodiscard]] std::string next();

private:
    std::string prefix_;
    std::uint64_t count_ = 0;
};

/// The Date header; made anew once per second.
class DateText {
public:
    /// RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
    [[nodiscard]] std::string_view of(std::int64_t wall_ms);

private:
    std::int64_t second_ = -1;
    std::string text_;
};

struct Service {
    const ipc::Clock& clock;
    const Router& router;
    Log& log;
    Limits limits{};
    TrustedProxies trusted{};
    RateLimiter* limiter = nullptr;         ///< none: nothing is limited
    Authenticator* authenticator = nullptr; ///< none: routes that need a caller say 401
    std::string rate_policy{};              ///< the RateLimit-Policy header: "100;w=60"
    std::vector<Observer*> observers{};

    bool ready = true;     ///< false: asked to stop, balancers shall look elsewhere
    bool draining = false; ///< connections end as soon as they have no request

    RequestIds ids{};
    DateText date{};
};

} // namespace cluster::app
