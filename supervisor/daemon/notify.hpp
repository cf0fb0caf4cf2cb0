// Tells systemd how things stand (man 3 sd_notify): one datagram to $NOTIFY_SOCKET.
#pragma once

#include <string_view>

namespace cluster::supervisor {

/// Does nothing when NOTIFY_SOCKET is not set; a manager that cannot be reached is no error.
void notify_service_manager(std::string_view state);

} // namespace cluster::supervisor
