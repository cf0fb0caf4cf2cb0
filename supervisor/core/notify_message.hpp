// What a worker tells its supervisor in one datagram to $NOTIFY_SOCKET (man 3 sd_notify): lines
// VARIABLE=VALUE. Pure: bytes in, a message out.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

struct NotifyMessage {
    bool ready = false;                  ///< READY=1
    bool reloading = false;              ///< RELOADING=1
    bool stopping = false;               ///< STOPPING=1
    bool watchdog = false;               ///< WATCHDOG=1: it lives
    bool watchdog_trigger = false;       ///< WATCHDOG=trigger: it wants to be restarted
    std::optional<std::string> status{}; ///< STATUS=: one line for people, see shown_line
    std::optional<ipc::milliseconds>
        extend{}; ///< EXTEND_TIMEOUT_USEC=: rounded up, at most 24 days
    bool operator==(const NotifyMessage&) const = default;
};

/// Never fails: what is not understood is left out. Of one variable the last line counts.
[[nodiscard]] NotifyMessage parse_notify_message(std::string_view datagram);

} // namespace cluster::supervisor
