// The cgroup of our service, when systemd starts it once more over workers that still run.
#pragma once

#include "ipc/base/system.hpp"

#include <string>
#include <string_view>

namespace cluster::supervisor {

/// "cpu memory" as what turns these off: "-cpu -memory". Pure.
[[nodiscard]] std::string switched_off(std::string_view controllers);

/// For a command that systemd runs beside a service with Delegate=yes, such as ExecStopPost=, in
/// `.control` below the group of the service; nothing happens for anybody else.
///
/// A group whose children have controllers may hold no process itself (EBUSY), so systemd could not
/// start the main process of a service in whose group the workers of the one before have limits.
/// Turns the controllers off; who comes next turns them on again. Errors: the kernel's.
ipc::Result<void> free_group_of_service(ipc::System& system);

} // namespace cluster::supervisor
