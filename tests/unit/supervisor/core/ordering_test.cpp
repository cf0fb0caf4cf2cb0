#include "supervisor/core/ordering.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;
using cluster::ipc::Condition;
using cluster::ipc::ExitStatus;

namespace {

PeerView peer(State state, bool held = false, std::optional<ExitStatus> last = {})
{
    return {.state = state, .held = held, .last = last};
}

} // namespace

TEST_CASE("ordering: what each condition asks of one worker")
{
    const ExitStatus good{};
    const ExitStatus bad{.code = 3, .signal = 0};
    const ExitStatus killed{.code = 0, .signal = 9};
    struct Row {
        PeerView peer;
        Met started, ready, completed;
    };
    const Row rows[] = {
        {peer(State::launching), Met::yes, Met::not_yet, Met::not_yet},
        {peer(State::online), Met::yes, Met::yes, Met::not_yet},
        {peer(State::waiting_restart), Met::not_yet, Met::not_yet, Met::not_yet},
        {peer(State::stopping), Met::not_yet, Met::not_yet, Met::not_yet},
        {peer(State::stopped), Met::never, Met::never, Met::never},
        {peer(State::stopped, true), Met::not_yet, Met::not_yet, Met::not_yet},
        {peer(State::online, true), Met::not_yet, Met::not_yet, Met::not_yet},
        {peer(State::stopped, false, good), Met::yes, Met::yes, Met::yes},
        {peer(State::stopped, true, good), Met::not_yet, Met::not_yet, Met::not_yet},
        {peer(State::stopped, false, bad), Met::never, Met::never, Met::never},
        {peer(State::stopped, false, killed), Met::never, Met::never, Met::never},
        {peer(State::errored), Met::never, Met::never, Met::never},
        // Its last process ended well, and another one runs now.
        {peer(State::launching, false, good), Met::yes, Met::not_yet, Met::not_yet},
    };
    for (const Row& row : rows) {
        CAPTURE(&row - rows);
        CHECK(condition_met(Condition::started, {row.peer}) == row.started);
        CHECK(condition_met(Condition::ready, {row.peer}) == row.ready);
        CHECK(condition_met(Condition::completed, {row.peer}) == row.completed);
    }
}

TEST_CASE("ordering: all workers of an app have to be there, and an app without any never is")
{
    const PeerView up = peer(State::online);
    CHECK(condition_met(Condition::ready, {up, up}) == Met::yes);
    CHECK(condition_met(Condition::ready, {up, peer(State::launching)}) == Met::not_yet);
    CHECK(condition_met(Condition::ready, {peer(State::launching), peer(State::errored), up}) ==
          Met::never);
    CHECK(condition_met(Condition::ready, {}) == Met::never);
}
