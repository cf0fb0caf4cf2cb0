// A request that changes something, and whose daemon was replaced while it worked on it: what was
// begun goes on by itself in the next daemon, and the rows tell what has become of it.
#pragma once

#include "cli/context.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::cli {

/// What was asked, as far as rows can show it.
struct Change {
    std::string method;
    json targets;              ///< for `list`: all that the request was about
    std::int64_t asked_at = 0; ///< wall time in ms: a process that is older is none of this request
    std::int64_t count = 0;    ///< of `scale`: how many there are to be; 0: unknown
};

/// `params` are those of the request.
[[nodiscard]] Change change_of(std::string_view method, const json& params, std::int64_t asked_at);

enum class Become {
    done,      ///< all is as it was asked
    under_way, ///< something of it goes on
    otherwise, ///< it is not, and nothing goes on
};

/// The rows as they are.
struct Aftermath {
    json processes = json::array();
    json missing = json::array();   ///< targets that name no process any more, or not yet
    json reloading = json::array(); ///< names of apps that are being reloaded
};

[[nodiscard]] Become what_became(const Change& change, const Aftermath& now);

/// Says that the daemon was restarted, waits until nothing of the request goes on, and gives the
/// answer that the request would have had: `processes`, or kFailed with what is not as asked.
[[nodiscard]] ipc::RpcResult<json> find_out(Context& context, const Change& change);

} // namespace cluster::cli
