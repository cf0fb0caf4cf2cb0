#include "supervisor/core/exit_reason.hpp"

#include <utility>

namespace cluster::supervisor {

std::string_view name_of(ExitReason reason)
{
    static constexpr std::string_view names[kExitReasons] = {"success", "failure", "signal",
                                                             "limit",   "asked",   "unknown"};
    return names[std::to_underlying(reason)];
}

ExitReason reason_of(const ipc::ExitStatus& status, bool asked, bool over_limit)
{
    if (asked) return ExitReason::asked;
    if (over_limit) return ExitReason::limit;
    if (status == ipc::kUnknownExit) return ExitReason::unknown;
    if (status.signal != 0) return ExitReason::signal;
    return status.code == 0 ? ExitReason::success : ExitReason::failure;
}

} // namespace cluster::supervisor
