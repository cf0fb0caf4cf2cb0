#include "supervisor/core/ordering.hpp"

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

Met met_by(ipc::Condition condition, const PeerView& peer)
{
    if (peer.held) return Met::not_yet; // what it is now, it will not be for long
    const bool completed =
        peer.state == State::stopped && peer.last && peer.last->signal == 0 && peer.last->code == 0;
    if (completed) return Met::yes;
    switch (peer.state) {
    case State::online:
        return condition == ipc::Condition::completed ? Met::not_yet : Met::yes;
    case State::launching:
        return condition == ipc::Condition::started ? Met::yes : Met::not_yet;
    case State::stopping:
    case State::waiting_restart:
        return Met::not_yet;
    case State::stopped:
        return Met::never;
    case State::errored:
        return Met::never;
    }
    std::unreachable();
}

} // namespace

Met condition_met(ipc::Condition condition, const std::vector<PeerView>& peers)
{
    Met all = peers.empty() ? Met::never : Met::yes;
    for (const PeerView& peer : peers)
        all = std::max(all, met_by(condition, peer));
    return all;
}

} // namespace cluster::supervisor
