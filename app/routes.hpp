// What clusterapp answers to whom, as one pure function: no socket, no clock. The session carries
// the reply out (headers, HEAD, keep-alive).
#pragma once

#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

namespace http = boost::beast::http;
using std::chrono::milliseconds;

/// What the answers tell about this process.
struct Status {
    std::optional<int> instance; ///< among the workers of the app, from 0
    pid_t pid = 0;
    milliseconds uptime{0};
    bool draining = false; ///< asked to stop: not ready for new work
};

struct Reply {
    http::status status = http::status::ok;
    std::string body{};    ///< JSON, ends in a newline
    std::string allow{};   ///< the Allow header of a 405, else ""
    milliseconds delay{0}; ///< to wait before the answer is sent
};

constexpr milliseconds kMaxDelay{30'000};

/// `target` as it stands in the request line: "/health?x=1", or the absolute form
/// "http://host/health" (RFC 9112 section 3.2.2).
[[nodiscard]] Reply answer(http::verb method, std::string_view target, const Status& status);

/// The reply to a request that cannot be understood or is too large.
[[nodiscard]] Reply refusal(http::status status, std::string_view why);

} // namespace cluster::app
