// The cgroup of our service, when systemd starts it once more over workers that still run.
#pragma once

#include "ipc/base/system.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// From /proc/self/cgroup of a command that systemd runs beside a service with Delegate=yes, such
/// as ExecStopPost=: the group of the service in the v2 hierarchy. Empty for anybody else. Pure.
[[nodiscard]] std::optional<std::string> group_of_service(std::string_view cgroups);

/// "cpu memory" as what turns these off: "-cpu -memory". Pure.
[[nodiscard]] std::string switched_off(std::string_view controllers);

/// A group whose children have controllers may hold no process itself (EBUSY), so systemd could not
/// start the main process of a service in whose group the workers of the one before have limits.
/// Turns the controllers off; who comes next turns them on again. Errors: the kernel's.
ipc::Result<void> free_group_of_service(ipc::System& system);

} // namespace cluster::supervisor
