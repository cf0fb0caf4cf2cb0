// Supervisor, the part for Node's workers: their channel, and a stop that lets those in cluster
// mode finish first. What is said over the channel is in node_cluster.hpp.
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/fd_channel.hpp"

#include <fmt/format.h>

#include <utility>

namespace cluster::supervisor {

ipc::Result<ipc::UniqueFd> Supervisor::open_node_channel(Worker& worker, LaunchPlan& plan,
                                                         const std::optional<Identity>& identity)
{
    worker.node.reset();
    const bool in_cluster = is_node_cluster(worker.spec());
    if (!in_cluster) leave_node_cluster(worker);
    if (!in_cluster && worker.spec().exec_mode == ipc::ExecMode::cluster)
        around_.log.warn(fmt::format("{}:{} exec_mode cluster needs node or bun as interpreter, "
                                     "got \"{}\": runs like exec_mode fork",
                                     worker.spec().name, worker.id, worker.spec().interpreter));
    if (!has_node_channel(worker.spec())) return ipc::UniqueFd{};
    auto pair = make_socket_pair();
    if (!pair) return std::unexpected(pair.error());
    if (in_cluster) join_node_cluster(worker);
    plan.environment.push_back(fmt::format("NODE_CHANNEL_FD={}", plan.fds.size()));
    plan.environment.emplace_back("NODE_CHANNEL_SERIALIZATION_MODE=json");
    if (in_cluster)
        plan.environment.push_back(fmt::format("NODE_UNIQUE_ID={}", worker.instance + 1));
    plan.fds.push_back(pair->theirs.get());
    // Our end goes along, unknown to all in there: should every daemon die, there is no end of the
    // channel to be seen, and the next daemon takes it back from here. So do the sockets that it
    // will ask for. The last ones, so that no other descriptor has another number than without.
    plan.fds.push_back(pair->ours.get());
    if (worker.node_handles) {
        for (const int socket : worker.node_handles->stream_sockets())
            plan.fds.push_back(socket);
    }
    worker.node = std::make_unique<NodeMember>(around_.loop, around_.keeper, std::move(pair->ours),
                                               worker.node_handles, node_opener(worker, identity),
                                               node_events(worker));
    return std::move(pair->theirs);
}

NodeOpener Supervisor::node_opener(const Worker& worker,
                                   const std::optional<Identity>& identity) const
{
    const unsigned live = worker.node_handles ? worker.node_handles->live_generation() : 0;
    return {.app = worker.app,
            .sockets = worker.sockets,
            .generation = live + (worker.incoming ? 1U : 0U),
            .owner = identity ? NodeOwner{std::pair{identity->uid, identity->gid}} : std::nullopt};
}

NodeEvents Supervisor::node_events(const Worker& worker)
{
    const auto tell = [&](void (Serving::*what)()) {
        return for_process(worker, [what](Worker& found) {
            if (found.serving) (*found.serving.*what)();
        });
    };
    return {.on_ready = tell(&Serving::said_ready),
            .on_listening = tell(&Serving::listens),
            .on_change = for_process(worker, [this](Worker& found) {
                recorder_->row(found);
                recorder_->flush(); // the worker hears the answer next
            })};
}

/// The app's sockets, which all of its workers share.
void Supervisor::join_node_cluster(Worker& worker)
{
    std::weak_ptr<NodeHandles>& known = node_handles_[worker.spec().name];
    worker.node_handles = known.lock();
    if (worker.node_handles) return;
    worker.node_handles = std::make_shared<NodeHandles>(around_.loop, around_.system,
                                                        around_.keeper, node_handles_changed());
    known = worker.node_handles;
}

std::function<void()> Supervisor::node_handles_changed()
{
    return [this] {
        recorder_->node_handles();
        recorder_->flush(); // a worker gets the socket next, or nobody any more
    };
}

/// At half of the time for the stop the worker is told in the ordinary way too: it may close by
/// itself what its clients keep open.
bool Supervisor::drain_node(Worker& worker)
{
    const auto told = for_process(worker, [this](Worker& found) {
        if (found.life.state == State::stopping && !found.tree_killed) ask_to_end(found);
    });
    return worker.node && worker.node->drain(worker.spec().kill_timeout / 2, told);
}

/// A worker at rest is about to serve nobody: when all of an app are, its sockets close.
void Supervisor::leave_node_cluster(Worker& worker)
{
    worker.node.reset();
    const auto handles = std::exchange(worker.node_handles, nullptr);
    if (!handles || handles.use_count() > 1) return;
    // Known as gone before they are.
    std::erase_if(node_handles_, [&](const auto& entry) {
        return entry.second.expired() || entry.second.lock() == handles;
    });
    node_handles_changed()();
}

} // namespace cluster::supervisor
