// A reload as a plan over the workers of one app: which of them may start their new process now,
// and whose old process may leave. Pure: the engine reports what has become of each slot and asks
// what is next.
//
//   waiting ──start──▶ starting ──ready and soaked──▶ standing_by ──retire──▶ leaving ──▶ done
//
// At most `width` slots are between waiting and done at a time (max_surge new processes beside the
// old ones, or max_unavailable workers that are down while they are replaced in place). With
// `together` no old process leaves before all new ones stand by: a whole generation takes the
// address over in one step.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <cstddef>
#include <vector>

namespace cluster::supervisor {

enum class SlotPhase { waiting, starting, standing_by, leaving, done };

struct Rollout {
    std::vector<SlotPhase> slots;
    std::size_t width = 1;
    bool together = false;
};

/// How a worker of the app makes room for its successor.
enum class Handover {
    in_place,   ///< the old process ends first: both cannot have the address
    one_by_one, ///< new before old, slot by slot
    generation, ///< new before old, all at once: they share one socket, which the old ones leave
};

/// The plan for `slots` workers. `max_surge` rounds up, `max_unavailable` rounds down; in place and
/// in a row at least one is replaced at a time. A generation narrower than the app would need the
/// old workers to stop accepting one by one: it becomes one_by_one.
[[nodiscard]] Rollout plan_rollout(std::size_t slots, Handover handover,
                                   const ipc::ReloadPolicy& policy);
/// What `plan_rollout` makes of the wish for a generation.
[[nodiscard]] Handover settled(Handover wanted, std::size_t slots, const ipc::ReloadPolicy& policy);

/// Slots that are to start now, lowest first.
[[nodiscard]] std::vector<std::size_t> to_start(const Rollout& rollout);
/// Slots whose old process is to leave now.
[[nodiscard]] std::vector<std::size_t> to_retire(const Rollout& rollout);
[[nodiscard]] bool finished(const Rollout& rollout);

} // namespace cluster::supervisor
