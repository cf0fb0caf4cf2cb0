// What the kernel counts of lost and cut connections, in the whole network namespace (man 5 proc,
// /proc/net/netstat and /proc/net/snmp).
#pragma once

#include "ipc/base/system.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace cluster::cli {

using KernelCounters = std::map<std::string, std::uint64_t>;

/// The counters that tell of a lost connection, out of the text of either file: pairs of lines,
/// names and values, that begin with the same word.
[[nodiscard]] KernelCounters parse_counters(std::string_view text);

/// Both files; what cannot be read is left out.
[[nodiscard]] KernelCounters read_counters(ipc::System& system);

} // namespace cluster::cli
