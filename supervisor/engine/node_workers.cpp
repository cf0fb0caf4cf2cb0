// Supervisor, the part for workers in Node's cluster mode: their channel, and a stop that lets them
// finish first. What is said over the channel is in node_cluster.hpp.
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/fd_channel.hpp"

#include <fmt/format.h>

#include <utility>

namespace cluster::supervisor {

ipc::Result<ipc::UniqueFd> Supervisor::open_node_channel(Worker& worker, LaunchPlan& plan,
                                                         const std::optional<Identity>& identity)
{
    worker.node.reset();
    if (!is_node_cluster(worker.spec())) {
        worker.node_handles.reset();
        if (worker.spec().exec_mode == ipc::ExecMode::cluster)
            around_.log.warn(
                fmt::format("{}:{} exec_mode cluster needs node or bun as interpreter, "
                            "got \"{}\": runs like exec_mode fork",
                            worker.spec().name, worker.id, worker.spec().interpreter));
        return ipc::UniqueFd{};
    }
    auto pair = make_socket_pair();
    if (!pair) return std::unexpected(pair.error());
    std::weak_ptr<NodeHandles>& known = node_handles_[worker.spec().name];
    worker.node_handles = known.lock();
    if (!worker.node_handles) {
        worker.node_handles = std::make_shared<NodeHandles>(around_.loop, around_.system);
        known = worker.node_handles;
    }
    const NodeOwner owner =
        identity ? NodeOwner{std::pair{identity->uid, identity->gid}} : std::nullopt;
    worker.node =
        std::make_unique<NodeMember>(around_.loop, std::move(pair->ours), worker.node_handles,
                                     NodeOpener{.app = worker.app, .owner = owner});
    plan.environment.push_back(fmt::format("NODE_CHANNEL_FD={}", plan.fds.size()));
    plan.environment.emplace_back("NODE_CHANNEL_SERIALIZATION_MODE=json");
    plan.environment.push_back(fmt::format("NODE_UNIQUE_ID={}", worker.instance + 1));
    plan.fds.push_back(pair->theirs.get());
    return std::move(pair->theirs);
}

/// At half of the time for the stop the worker is told in the ordinary way too: it may close by
/// itself what its clients keep open.
bool Supervisor::drain_node(Worker& worker)
{
    const auto told = [this, key = worker.key, generation = worker.generation] {
        Worker* found = find_row(key);
        if (!found || found->generation != generation || found->tree_killed) return;
        if (found->life.state == State::stopping)
            signal_all(members(*found), found->spec().kill_signal);
    };
    return worker.node && worker.node->drain(worker.spec().kill_timeout / 2, told);
}

/// A worker at rest is about to serve nobody: when all of an app are, its sockets close.
void Supervisor::leave_node_cluster(Worker& worker)
{
    worker.node.reset();
    worker.node_handles.reset();
    std::erase_if(node_handles_, [](const auto& entry) { return entry.second.expired(); });
}

} // namespace cluster::supervisor
