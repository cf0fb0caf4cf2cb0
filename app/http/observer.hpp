// Who looks on while requests are answered (the access log, the metrics) and must not slow them.
#pragma once

#include "app/http/message.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

/// One request that has been answered, or tried to. What the views show ends with the call.
struct Finished {
    std::string_view id;
    std::string_view method; ///< as it came; "" when the request could not be read
    http::verb verb = http::verb::unknown;
    std::string_view path;                 ///< without the query
    std::string_view route;                ///< the pattern, "" when none fits
    unsigned status = 0;                   ///< 101 for a connection that was handed over
    std::chrono::microseconds duration{0}; ///< from the first byte of the request that we saw
    std::uint64_t bytes = 0;               ///< of the answer's body
    std::string_view client;
    std::string_view user;   ///< id, "" when unknown
    std::string_view detail; ///< why it failed; for the log
    bool quiet = false;      ///< a probe: worth a line only when it failed
    bool complete = true;    ///< the answer was taken by the client's kernel or ours
};

class Observer {
public:
    virtual ~Observer() = default;
    virtual void connection_opened() {}
    virtual void connection_closed() {}
    virtual void request_began() {}
    /// Exactly once after each `request_began`.
    virtual void request_finished(const Finished& finished) = 0;
    virtual void rate_limited() {}
};

} // namespace cluster::app
