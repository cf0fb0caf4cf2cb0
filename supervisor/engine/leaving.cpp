// Supervisor, leaving: a worker that is replaced or no longer needed first takes no more
// connections and finishes those it has.
//
// - In Node's cluster mode the worker is asked over its channel, unless what follows holds.
// - A worker whose sockets get no connections any more (its generation is over, or they are its
// own)
//   needs not know: its connections are closed from outside, one by one, when they are idle.
// - Any other one has to stop accepting by itself: it gets kill_signal at once, and drain_timeout
//   instead of kill_timeout where that is longer. Its idle connections are closed from outside.
#include "supervisor/engine/supervisor.hpp"

#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/listeners.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

std::string note_of(DrainEnd end, const DrainFigures& figures)
{
    std::string note;
    if (figures.closed > 0)
        note = fmt::format("{} idle connection{} closed", figures.closed,
                           figures.closed == 1 ? "" : "s");
    if (end == DrainEnd::not_allowed)
        note += std::string{note.empty() ? "" : ", "} +
                "the kernel lets no idle connection be closed from outside";
    if (end == DrainEnd::limit && figures.open_left > 0)
        note += fmt::format("{}{} connections still open at drain_timeout",
                            note.empty() ? "" : ", ", figures.open_left);
    return note;
}

} // namespace

/// False: there is nothing to wait for before the worker is asked to end.
bool Supervisor::begin_drain(Worker& worker)
{
    if (!worker.alive() || worker.spec().drain_timeout == milliseconds{0}) return false;
    OutsideDrain::Job job{.root = worker.pid,
                          .start_time = worker.start_time,
                          .listening = {},
                          .limit = worker.spec().drain_timeout,
                          .still_accepts = false,
                          .ports = {}};
    if (worker.node && worker.node->listens()) {
        job.ports = worker.node->tcp_ports();
        job.listening = worker.node->retired_sockets();
        if (!job.listening.empty()) {
            job.still_accepts = true;
            watch_connections(worker, std::move(job), Then::stop);
            return true;
        }
        const auto done = for_process(worker, [this](Worker& found) { end_drain(found); });
        if (!worker.node->drain(worker.spec().drain_timeout, done)) return false;
        watch_connections(worker, std::move(job), Then::wait);
        return true;
    }
    set_live(worker, false);
    bool shared = false;
    bool any = false;
    for (std::size_t at = 0; at < worker.sockets.size(); ++at) {
        const auto& socket = worker.sockets[at];
        if (!socket || worker.app->listeners[at]->is_unix()) continue;
        any = true;
        shared |= socket->live;
        job.ports.push_back(port_of(socket->fd.get()));
        if (!socket->live) job.listening.push_back(inode_of(socket->fd.get()));
    }
    if (!any) return false;
    job.still_accepts = !shared;
    if (shared) job.listening.clear();
    watch_connections(worker, std::move(job), shared ? Then::wait : Then::stop);
    return !shared;
}

/// Closes what is idle until all are gone.
void Supervisor::watch_connections(Worker& worker, OutsideDrain::Job job, Then then)
{
    const auto done = [this, key = worker.key, generation = worker.generation,
                       then](DrainEnd end, const DrainFigures& figures) {
        Worker* found = find_row(key);
        if (!found || found->generation != generation) return;
        found->drain_note = note_of(end, figures);
        if (end == DrainEnd::not_allowed)
            around_.log.warn(
                fmt::format("{}:{} {}", found->spec().name, found->id, found->drain_note));
        if (then == Then::stop) end_drain(*found);
    };
    worker.drain = std::make_unique<OutsideDrain>(around_.loop, around_.system, around_.clock,
                                                  std::move(job), done);
}

/// The worker has nothing in hand any more, or its time is up.
void Supervisor::end_drain(Worker& worker)
{
    worker.drain.reset();
    worker.draining = false;
    if (worker.life.state != State::stopping || worker.tree_killed) return;
    happen(worker, Event::drained);
    recorder_->flush();
    end_gracefully(worker);
}

} // namespace cluster::supervisor
