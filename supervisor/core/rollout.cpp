#include "supervisor/core/rollout.hpp"

#include <algorithm>

namespace cluster::supervisor {
namespace {

enum class Round { up, down };

std::size_t workers_of(const ipc::Share& share, std::size_t total, Round round)
{
    const auto count = static_cast<std::size_t>(std::max(share.count, 0));
    if (!share.percent) return count;
    return (count * total + (round == Round::up ? 99 : 0)) / 100;
}

std::vector<std::size_t> in_phase(const Rollout& rollout, SlotPhase phase)
{
    std::vector<std::size_t> found;
    for (std::size_t at = 0; at < rollout.slots.size(); ++at)
        if (rollout.slots[at] == phase) found.push_back(at);
    return found;
}

} // namespace

Handover settled(Handover wanted, std::size_t slots, const ipc::ReloadPolicy& policy)
{
    if (wanted == Handover::in_place) return wanted;
    if (!policy.max_surge) return wanted;
    const std::size_t surge = workers_of(*policy.max_surge, slots, Round::up);
    if (surge == 0) return Handover::in_place; // the parser has seen to max_unavailable
    return surge < slots ? Handover::one_by_one : wanted;
}

Rollout plan_rollout(std::size_t slots, Handover handover, const ipc::ReloadPolicy& policy)
{
    Rollout rollout;
    rollout.slots.assign(slots, SlotPhase::waiting);
    switch (settled(handover, slots, policy)) {
    case Handover::in_place:
        rollout.width = workers_of(policy.max_unavailable, slots, Round::down);
        break;
    case Handover::one_by_one:
        if (policy.max_surge) rollout.width = workers_of(*policy.max_surge, slots, Round::up);
        break;
    case Handover::generation:
        rollout.width = slots;
        rollout.together = true;
        break;
    }
    rollout.width = std::max<std::size_t>(rollout.width, 1);
    return rollout;
}

std::vector<std::size_t> to_start(const Rollout& rollout)
{
    const auto waiting = in_phase(rollout, SlotPhase::waiting);
    const auto done = in_phase(rollout, SlotPhase::done).size();
    const std::size_t under_way = rollout.slots.size() - waiting.size() - done;
    const std::size_t room = rollout.width - std::min(under_way, rollout.width);
    return {waiting.begin(),
            waiting.begin() + static_cast<std::ptrdiff_t>(std::min(room, waiting.size()))};
}

std::vector<std::size_t> to_retire(const Rollout& rollout)
{
    const bool missing = std::ranges::any_of(rollout.slots, [](SlotPhase phase) {
        return phase == SlotPhase::waiting || phase == SlotPhase::starting;
    });
    if (rollout.together && missing) return {};
    return in_phase(rollout, SlotPhase::standing_by);
}

bool finished(const Rollout& rollout)
{
    return std::ranges::all_of(rollout.slots,
                               [](SlotPhase phase) { return phase == SlotPhase::done; });
}

} // namespace cluster::supervisor
