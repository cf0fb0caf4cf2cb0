// Supervisor, going on where another daemon was: rows as they were written down, descriptors by
// their inodes, processes by pid and start time, and whatever was under way.
#include "supervisor/engine/node_saved.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/listeners.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr milliseconds kAskAgain{20};

/// The path of a unix socket that is live leads to it already.
bool is_done(const Listener& listener, const ipc::Error& error)
{
    return listener.is_unix() && error.code == std::errc::no_such_file_or_directory;
}

} // namespace

void Supervisor::adopt_listener(const ipc::ListenAddress& address, const KnownListener& known,
                                KeptFds& kept)
{
    std::vector<std::pair<ipc::UniqueFd, bool>> sockets;
    for (const auto& [inode, live] : known.sockets)
        sockets.emplace_back(kept.take(inode), live);
    erase_from_group(sockets, [](const auto& socket) { return !accepts(socket.first.get()); });
    if (sockets.empty()) return; // opened anew when the app is declared
    auto listener = std::make_shared<Listener>(address, around_.keeper, std::move(sockets));
    // A daemon that was killed in between may have told the kernel more than it wrote down.
    if (auto steered = listener->steer(); !steered && !is_done(*listener, steered.error()))
        around_.log.error(fmt::format("{} {}", address.text, steered.error().text()));
    listeners_[address.text] = listener;
    adopted_listeners_.push_back(std::move(listener));
}

Worker& Supervisor::adopt(KnownWorker known, std::shared_ptr<const App> app, KeptFds& kept,
                          const std::optional<ProcessStat>& process)
{
    auto row = std::make_unique<Worker>(around_.loop, known.record.id, std::move(app));
    Worker& worker = *row;
    static_cast<WorkerRecord&>(worker) = std::move(known.record);
    next_key_ = std::max(next_key_, worker.key + 1);
    next_id_ = std::max(next_id_, worker.id + 1);
    name_files(worker);
    rows_[worker.key] = &worker;
    if (known.hidden) {
        hidden_[worker.key] = std::move(row);
    } else {
        ids_of_app_[worker.spec().name].insert(worker.id);
        workers_[worker.id] = std::move(row);
    }

    find_process(worker, process);
    const auto stream = [&](std::unique_ptr<LogStream>& into, StreamKind kind, std::uint64_t inode,
                            std::uint64_t since) {
        ipc::UniqueFd pipe = kept.take(inode);
        if (!pipe) return;
        auto adopted = logs_.adopt(worker.id, kind, worker.log_plan(kind), std::move(pipe), since);
        if (!adopted)
            return around_.log.error(
                fmt::format("{}:{} {}", worker.spec().name, worker.id, adopted.error().text()));
        into = std::move(*adopted);
        logs_.set_rule(*into, worker.spec().rotate);
    };
    stream(worker.out, StreamKind::out, known.out, worker.out_since);
    stream(worker.err, StreamKind::err, known.err, worker.err_since);
    shipping_.attach(worker);
    worker.sockets.resize(worker.app->listeners.size());
    for (std::size_t at = 0; at < std::min(worker.sockets.size(), known.sockets.size()); ++at) {
        for (const auto& socket : worker.app->listeners[at]->sockets())
            if (socket->kept.inode() == known.sockets[at]) worker.sockets[at] = socket;
    }
    if (ipc::UniqueFd probe = kept.take(known.probe)) {
        worker.probe_kept = Kept{around_.keeper, probe.get()};
        worker.probe_socket = std::move(probe);
    }
    // One that is about to be launched again holds the app's sockets, too.
    if (is_node_cluster(worker.spec()) && !worker.at_rest()) join_node_cluster(worker);
    if (worker.alive()) {
        adopt_node(worker, known.node, kept);
        adopt_serving(worker, known.serving, kept);
    }
    recorder_->row(worker);
    return worker;
}

/// By pid and start time; a pid alone may be somebody else's by now.
void Supervisor::find_process(Worker& worker, const std::optional<ProcessStat>& process)
{
    if (process) {
        worker.pid = worker.tree = process->pid;
        worker.start_time = process->start_time;
        worker.started_at = around_.clock.now();
        worker.started_wall_ms = around_.clock.wall_ms();
    }
    worker.adopted = true;
    if (worker.pid == 0) return;
    familiar_.insert(worker.pid);
    auto pidfd = around_.system.pidfd_open(worker.pid);
    const auto about = read_stat(around_.system, worker.pid);
    // The pidfd first: what is read after it is of that process, or of nobody.
    if (!pidfd || !about || about->start_time != worker.start_time) return;
    worker.exit_watch = {exits_, std::move(*pidfd)};
}

void Supervisor::adopt_node_handles(const std::string& app, const nlohmann::json& saved,
                                    KeptFds& kept)
{
    auto handles = NodeHandles::restore(around_.loop, around_.system, around_.keeper, saved, kept,
                                        node_handles_changed());
    if (!handles) return around_.log.error(fmt::format("{} {}", app, handles.error().text()));
    node_handles_[app] = *handles;
    adopted_handles_.push_back(std::move(*handles));
}

void Supervisor::adopt_node(Worker& worker, const nlohmann::json& saved, KeptFds& kept)
{
    if (saved.is_null()) return;
    auto member =
        NodeMember::restore(around_.loop, around_.keeper, saved, kept, worker.node_handles,
                            node_opener(worker, {}), node_events(worker));
    if (member)
        worker.node = std::move(*member);
    else
        around_.log.error(
            fmt::format("{}:{} {}", worker.spec().name, worker.id, member.error().text()));
}

/// Where the state tells nothing of it, nothing is declared, or what was declared has happened as
/// far as anybody can know.
void Supervisor::adopt_serving(Worker& worker, const nlohmann::json& saved, KeptFds& kept)
{
    if (saved.is_null()) return;
    auto identity = look_up_identity(worker.spec().uid, worker.spec().gid);
    if (!identity) return around_.log.error(identity.error().text());
    worker.serving = make_serving(worker);
    read_output(worker);
    // What Node workers say waits in their channel.
    const bool heard = worker.node || std::ranges::all_of(kept_inodes(saved), [&](auto inode) {
                           return kept.rest().contains(inode);
                       });
    auto resumed =
        worker.serving->resume(saved, kept,
                               {.ready = means_of(worker, worker.spec().ready, *identity),
                                .health = means_of(worker, worker.spec().health, *identity)},
                               worker.must_listen, worker.life.state == State::online, heard);
    if (!resumed)
        around_.log.error(
            fmt::format("{}:{} {}", worker.spec().name, worker.id, resumed.error().text()));
}

void Supervisor::resume(milliseconds told_within)
{
    told_within_ = told_within;
    for (Worker* worker : rows())
        resume(*worker);
    adopted_listeners_.clear();
    adopted_handles_.clear();
    tidy_listeners();
}

void Supervisor::resume(Worker& worker)
{
    if (limited_by_looking(worker.spec())) watch_limits();
    if (around_.own_cgroup && !worker.groups.empty()) {
        if (auto renewed = cgroups_.renew(worker.groups, limits_of(worker.spec())); !renewed)
            around_.log.error(
                fmt::format("{}:{} {}", worker.spec().name, worker.id, renewed.error().text()));
    }
    if (worker.alive()) {
        if (worker.exit_watch)
            worker.exit_watch.wait(worker.key);
        else
            do_soon(worker, Chore::What::exit); // it has ended meanwhile
    }
    switch (worker.life.state) {
    case State::launching:
        if (worker.alive())
            resume_serving(worker);
        else if (worker.tree != 0)
            do_soon(worker, Chore::What::settle); // the rest of its tree may be there
        else if (worker.waits_for.empty())
            do_soon(worker, Chore::What::spawn);
        break;
    case State::online:
        if (worker.alive())
            resume_serving(worker);
        else if (worker.tree != 0)
            do_soon(worker, Chore::What::settle); // the rest of its tree may be there
        break;
    case State::stopping:
        resume_stop(worker);
        break;
    case State::waiting_restart:
        arm_until(worker, worker.due_at);
        break;
    case State::stopped:
    case State::errored:
        break;
    }
}

/// What was left of the time for it is what it still has.
void Supervisor::resume_stop(Worker& worker)
{
    if (worker.tree == 0) return happen(worker, Event::gone);
    if (worker.tree_killed) {
        signal_all(members(worker), SIGKILL);
        return sweep_later(worker);
    }
    const milliseconds due_at = worker.due_at;
    if (!worker.told) {
        if (worker.exit_watch)
            begin_stop(worker);
        else
            end_gracefully(worker); // only the rest of its tree hears that
    }
    if (due_at != milliseconds{0} && !worker.draining) arm_until(worker, due_at);
    if (!worker.alive()) do_soon(worker, Chore::What::settle);
}

void Supervisor::resume_serving(Worker& worker)
{
    if (worker.life.state == State::launching && !worker.serving) happen(worker, Event::ready);
}

void Supervisor::on_ended(pid_t pid, std::uint64_t start_time, const ipc::ExitStatus& status)
{
    const bool ours = familiar_.contains(pid) && std::ranges::any_of(rows_, [&](const auto& row) {
                          return row.second->adopted && row.second->pid == pid &&
                                 row.second->start_time == start_time;
                      });
    if (ours)
        ended_[{pid, start_time}] = status;
    else
        recorder_->end_known(pid, start_time);
}

/// Of a child of our own the kernel tells; of one that we took over, who has waited for it.
std::optional<ipc::ExitStatus> Supervisor::exit_status(Worker& worker)
{
    if (!worker.adopted) {
        const auto status = around_.system.peek_exit(worker.pid);
        if (!status) return ipc::kUnknownExit;
        // The pidfd may tell of the first thread's end while others are still going.
        if (!*status) worker.exit_watch.wait(worker.key);
        return *status;
    }
    const auto told = ended_.find({worker.pid, worker.start_time});
    if (told != ended_.end()) return told->second;
    if (worker.exit_watch) {
        if (const auto known = around_.system.exit_of(worker.exit_watch.get())) return known;
    }
    // Not every parent waits for it soon.
    if (const auto seen = zombie_status(around_.system, worker.pid, worker.start_time)) return seen;
    const milliseconds now = around_.clock.now();
    if (worker.ended_since == milliseconds{0}) worker.ended_since = now;
    const auto about = read_stat(around_.system, worker.pid);
    const bool reaped = about ? about->start_time != worker.start_time : is_gone(about.error());
    if (reaped && now - worker.ended_since >= told_within_) return ipc::kUnknownExit;
    worker.sweep.expires_after(kAskAgain);
    worker.sweep.async_wait(
        [this, key = worker.key, generation = worker.generation](error_code cancelled) {
            Worker* found = cancelled ? nullptr : find_row(key);
            if (found && found->generation == generation && found->alive()) on_exit(*found);
        });
    return std::nullopt;
}

} // namespace cluster::supervisor
