#include "supervisor/core/rollout.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace cluster::supervisor;
using cluster::ipc::ReloadPolicy;
using cluster::ipc::Share;

namespace {

ReloadPolicy policy(std::optional<Share> surge, Share unavailable = {})
{
    ReloadPolicy policy;
    policy.max_surge = surge;
    policy.max_unavailable = unavailable;
    return policy;
}

std::size_t count(const Rollout& rollout, SlotPhase phase)
{
    return static_cast<std::size_t>(std::ranges::count(rollout.slots, phase));
}

} // namespace

TEST_CASE("rollout: how many are replaced at a time follows from the handover and the policy")
{
    struct Row {
        std::size_t slots;
        Handover handover;
        ReloadPolicy policy;
        std::size_t width;
        bool together;
    };
    const Row rows[] = {
        {4, Handover::one_by_one, {}, 1, false},
        {4, Handover::one_by_one, policy(Share{2}), 2, false},
        {5, Handover::one_by_one, policy(Share{25, true}), 2, false}, // 1.25 rounds up
        {4, Handover::generation, {}, 4, true},
        {4, Handover::generation, policy(Share{100, true}), 4, true},
        {4, Handover::generation, policy(Share{9}), 4, true},
        {4, Handover::generation, policy(Share{1}), 1, false}, // the old ones leave one by one
        {1, Handover::generation, policy(Share{1}), 1, true},
        {4, Handover::in_place, {}, 1, false}, // 0 unavailable cannot be held
        {4, Handover::in_place, policy({}, Share{2}), 2, false},
        {5, Handover::in_place, policy({}, Share{50, true}), 2, false},  // 2.5 rounds down
        {4, Handover::one_by_one, policy(Share{0}, Share{3}), 3, false}, // in place after all
    };
    for (const Row& row : rows) {
        const Rollout rollout = plan_rollout(row.slots, row.handover, row.policy);
        CAPTURE(&row - rows);
        CHECK(rollout.slots.size() == row.slots);
        CHECK(rollout.width == row.width);
        CHECK(rollout.together == row.together);
    }
    CHECK(settled(Handover::one_by_one, 4, policy(Share{0}, Share{1})) == Handover::in_place);
    CHECK(settled(Handover::generation, 4, policy(Share{3})) == Handover::one_by_one);
    CHECK(settled(Handover::in_place, 4, policy(Share{3})) == Handover::in_place);
}

TEST_CASE("rollout: one by one, the next one starts when the one before is done")
{
    Rollout rollout = plan_rollout(2, Handover::one_by_one, {});
    CHECK(to_start(rollout) == std::vector<std::size_t>{0});
    rollout.slots[0] = SlotPhase::starting;
    CHECK(to_start(rollout).empty());
    CHECK(to_retire(rollout).empty());
    rollout.slots[0] = SlotPhase::standing_by;
    CHECK(to_retire(rollout) == std::vector<std::size_t>{0});
    rollout.slots[0] = SlotPhase::leaving;
    CHECK(to_start(rollout).empty());
    rollout.slots[0] = SlotPhase::done;
    CHECK(to_start(rollout) == std::vector<std::size_t>{1});
    CHECK(!finished(rollout));
    rollout.slots[1] = SlotPhase::done;
    CHECK(finished(rollout));
}

TEST_CASE("rollout: of a generation nobody leaves before all stand by")
{
    Rollout rollout = plan_rollout(3, Handover::generation, {});
    CHECK(to_start(rollout) == std::vector<std::size_t>{0, 1, 2});
    rollout.slots = {SlotPhase::standing_by, SlotPhase::starting, SlotPhase::standing_by};
    CHECK(to_retire(rollout).empty());
    rollout.slots[1] = SlotPhase::standing_by;
    CHECK(to_retire(rollout) == std::vector<std::size_t>{0, 1, 2});
    rollout.slots = {SlotPhase::done, SlotPhase::standing_by, SlotPhase::done}; // two were deleted
    CHECK(to_retire(rollout) == std::vector<std::size_t>{1});
}

TEST_CASE("rollout: no slots is a finished rollout")
{
    for (const auto handover : {Handover::in_place, Handover::one_by_one, Handover::generation})
        CHECK(finished(plan_rollout(0, handover, {})));
}

TEST_CASE("rollout: whatever comes first, it ends, and never wider than it may be")
{
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 chance{seed};
    const auto below = [&](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>{0, limit - 1}(chance);
    };
    for (int round = 0; round < 2000; ++round) {
        const std::size_t slots = 1 + below(8);
        const Handover handovers[] = {Handover::in_place, Handover::one_by_one,
                                      Handover::generation};
        const int surge = static_cast<int>(below(5));
        Rollout rollout = plan_rollout(
            slots, handovers[below(3)],
            surge == 0 ? ReloadPolicy{} : policy(Share{surge}, Share{static_cast<int>(below(4))}));
        std::size_t steps = 0;
        while (!finished(rollout)) {
            REQUIRE(++steps < 1000);
            for (const std::size_t at : to_start(rollout))
                rollout.slots[at] = SlotPhase::starting;
            for (const std::size_t at : to_retire(rollout))
                rollout.slots[at] = SlotPhase::leaving;
            const std::size_t under_way =
                slots - count(rollout, SlotPhase::waiting) - count(rollout, SlotPhase::done);
            REQUIRE(under_way <= rollout.width);
            REQUIRE(under_way > 0); // somebody has always something to do
            const std::size_t at = below(slots);
            if (rollout.slots[at] == SlotPhase::starting)
                rollout.slots[at] = SlotPhase::standing_by;
            else if (rollout.slots[at] == SlotPhase::leaving)
                rollout.slots[at] = SlotPhase::done;
        }
    }
}
