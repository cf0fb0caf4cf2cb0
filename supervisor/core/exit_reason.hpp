// Why a process has ended, in one word: what ends are counted by.
#pragma once

#include "ipc/base/system.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cluster::supervisor {

enum class ExitReason : std::uint8_t {
    success, ///< by itself, with code 0
    failure, ///< by itself, with another code
    signal,  ///< by a signal that we have not sent
    limit,   ///< it took more than it may
    asked,   ///< somebody wanted it: stop, restart, reload, delete
    unknown, ///< nobody has seen how
};
inline constexpr std::size_t kExitReasons = 6;
using ExitCounts = std::array<std::uint64_t, kExitReasons>; ///< by the enumerators' numbers

[[nodiscard]] std::string_view name_of(ExitReason reason);

/// `asked`: it was being stopped; `over_limit`: it, or the kernel, was told so.
[[nodiscard]] ExitReason reason_of(const ipc::ExitStatus& status, bool asked, bool over_limit);

} // namespace cluster::supervisor
