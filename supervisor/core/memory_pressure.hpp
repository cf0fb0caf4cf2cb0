// memory_high where no kernel sees to it (cgroup v2 does): a tree above it gets less CPU time, the
// less the further it is above, so that it grows slower than the rest of the host can react.
#pragma once

#include <cstdint>

namespace cluster::supervisor {

inline constexpr int kWholeShare = 1000;

/// The thousandths of its CPU time that a tree with `memory` bytes may have; `now` is what it has.
/// Half at `high`, two thousandths less for each thousandth above it, never less than a twentieth.
/// It gets all back when it is a sixteenth below `high`, so that it does not change all the time.
[[nodiscard]] int cpu_share(std::uint64_t memory, std::uint64_t high, int now);

} // namespace cluster::supervisor
