// Control, coming up: from the journal and the descriptors that the guardian hands over after a
// crash of the manager or for an upgrade; when both were killed, from the journal and what the
// workers still hold; after a reboot from the state file alone.
#include "supervisor/daemon/control.hpp"
#include "supervisor/engine/node_saved.hpp"
#include "supervisor/sys/listeners.hpp"
#include "supervisor/sys/take_back.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <ranges>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr int kRounds = 100;
constexpr milliseconds kToldWithin{1000}; ///< by the guardian, how a process has ended

std::optional<SavedState> read_journal(ipc::System& system, const std::string& path, Log& log)
{
    const auto text = system.read_file(path);
    if (!text && text.error().code == std::errc::no_such_file_or_directory) return std::nullopt;
    auto state = text ? parse_state(*text) : std::unexpected(text.error().text());
    if (state) return std::move(*state);
    log.error("journal: cannot be used, the state file is taken: " + state.error());
    return std::nullopt;
}

bool still_runs(ipc::System& system, const WorkerRecord& record)
{
    return record.pid != 0 && lives(system, record.pid, record.start_time);
}

/// A row that may have a process of which nothing is written down. The journal knows when one is
/// about to be launched; the state file may be of any moment before that.
bool may_have_unseen(const SavedWorker& row, ipc::System& system, bool from_journal)
{
    const WorkerRecord& record = row.known.record;
    if (from_journal) {
        const bool was_launched = record.pid != 0 && record.start_time == 0; // it says not which
        return was_launched ||
               (record.life.state == State::launching && record.pid == 0 && record.tree == 0);
    }
    return row.wanted && !still_runs(system, record);
}

/// Keys of rows → the first process of theirs, where the row knows of none that lives.
std::map<std::uint64_t, ProcessStat> find_unseen(const SavedState& state, ipc::System& system,
                                                 const std::vector<MarkedProcess>& marked,
                                                 bool from_journal)
{
    std::map<std::uint64_t, ProcessStat> unseen;
    for (const auto& [key, row] : state.workers) {
        if (!may_have_unseen(row, system, from_journal)) continue;
        const auto root = std::ranges::find_if(marked, [&](const MarkedProcess& process) {
            // A descendant of the process before it may have a session of its own, too, but was
            // there when the state was written.
            return process.unique_id == row.known.record.unique_id &&
                   process.stat.session == process.stat.pid &&
                   process.stat.start_time >= state.written_at;
        });
        if (root != marked.end()) unseen.emplace(key, root->stat);
    }
    return unseen;
}

/// What the row knew of its process is over: it has another one.
void forget_process(WorkerRecord& record)
{
    record.pid = record.tree = 0;
    record.start_time = 0;
    record.life.state = State::launching;
    record.life.after = After::nothing;
    record.tree_killed = record.told = record.draining = false;
}

} // namespace

void Control::restore(GuardianLink::HandedOver handed)
{
    restoring_ = true;
    ipc::System& system = supervisor_.system();
    auto state =
        handed.journal
            ? read_journal(system, fmt::format("/proc/self/fd/{}", handed.journal.get()), log_)
            : std::nullopt;
    const bool handed_over = state.has_value();
    for (const std::string& path : journal_.left_behind())
        if (!state) state = read_journal(system, path, log_);
    if (state && state->boot_id != supervisor_.boot_id()) state.reset();
    const bool exact = state.has_value();
    if (!state) state = store_.load();
    const bool known = state.has_value();
    if (!state) state.emplace();
    if (state->boot_id != supervisor_.boot_id()) forget_what_ran(*state);
    // A stop that nobody lived to finish: what is wanted runs again.
    if (!handed_over && state->ending == Ending::stop) state->ending = Ending::none;

    std::vector<MarkedProcess> marked;
    const bool look = !handed_over || std::ranges::any_of(state->workers, [&](const auto& row) {
        return may_have_unseen(row.second, system, true);
    });
    if (look) marked = find_marked(system, supervisor_.home(), {::getpid(), ::getppid()});
    const auto unseen = find_unseen(*state, system, marked, exact);
    if (!handed_over) {
        if (known) end_strangers(*state, marked, unseen);
        // Without a word about what is wanted, nobody's process is ended.
        for (const MarkedProcess& process : known ? std::vector<MarkedProcess>{} : marked)
            log_.error(fmt::format("process {} was started by a daemon of this home and is in no "
                                   "list: left alone",
                                   process.stat.pid));
        find_kept(*state, unseen, handed.fds);
    }
    const Apps apps = declare_saved(*state, handed.fds);
    LogPump& logs = supervisor_.logs();
    if (auto stage = logs.adopt_stage(state->log_stage, handed.fds); !stage)
        log_.error("logs: " + stage.error().text() + ": some lines may be there twice");
    adopt_rows(*state, apps, handed.fds, unseen);
    logs.settle_stage();
    supervisor_.set_next_id(std::max(state->next_id, supervisor_.next_id()));
    for (const auto& [inode, fd] : handed.fds.rest())
        shut_listener(fd.get()); // it must not stay in its group; harmless for anything else
    unfinished_ = unfinished(*state, apps);
    journal_.begin();
    take_up(*state, handed.ended, handed_over ? kToldWithin : milliseconds{0});
    restoring_ = false;
    unfinished_ = {};
    journal_.under_way();
    timetable_.begin();
    if (!state->workers.empty()) changed();
}

/// After a reboot, and for a file of version 1: there are rows, and what was wanted.
void Control::forget_what_ran(SavedState& state)
{
    std::erase_if(state.workers, [](const auto& row) { return row.second.known.hidden; });
    for (auto& [key, row] : state.workers) {
        WorkerRecord& old = row.known.record;
        WorkerRecord fresh;
        fresh.id = old.id;
        fresh.key = key;
        fresh.instance = old.instance;
        fresh.unique_id = std::move(old.unique_id);
        fresh.life.restarts = old.life.restarts;
        fresh.exits = std::move(old.exits);
        fresh.last_status = old.last_status;
        fresh.created_at = supervisor_.clock().now();
        fresh.created_wall_ms = supervisor_.clock().wall_ms();
        row.known = {};
        row.known.record = std::move(fresh);
    }
    state.listeners.clear();
    state.node = nlohmann::json::object();
    state.reloads.clear();
    state.held.clear();
    if (state.ending == Ending::kill) state.workers.clear();
    state.ending = Ending::none;
}

/// Both daemons were killed: a process that no row claims may not run beside what is wanted.
void Control::end_strangers(const SavedState& state, const std::vector<MarkedProcess>& marked,
                            const Unseen& unseen)
{
    std::set<std::string> claimed;
    for (const auto& [key, row] : state.workers) {
        const WorkerRecord& record = row.known.record;
        if (unseen.contains(key) || still_runs(supervisor_.system(), record) ||
            (record.tree != 0 && record.pid == 0))
            claimed.insert(record.unique_id);
    }
    const auto is_claimed = [&](const MarkedProcess& process) {
        return claimed.contains(process.unique_id);
    };
    std::vector<MarkedProcess> strangers = marked;
    std::erase_if(strangers, is_claimed);
    if (strangers.empty()) return;
    log_.warn(fmt::format("{} processes of a daemon that was killed belong to nothing that is "
                          "wanted: SIGKILL",
                          strangers.size()));
    ipc::System& system = supervisor_.system();
    // Again until none is left: one of them may have had a child meanwhile.
    for (int round = 0; round < kRounds && !strangers.empty(); ++round) {
        end_marked(system, strangers);
        strangers = find_marked(system, supervisor_.home(), {::getpid(), ::getppid()});
        std::erase_if(strangers, is_claimed);
    }
}

/// Takes descriptors back from the workers that hold them.
void Control::find_kept(const SavedState& state, const Unseen& unseen, KeptFds& kept) const
{
    ipc::System& system = supervisor_.system();
    const auto shared = kept_inodes(state.node);
    for (const auto& [key, row] : state.workers) {
        const KnownWorker& known = row.known;
        const auto found = unseen.find(key);
        const pid_t pid = found != unseen.end()              ? found->second.pid
                          : still_runs(system, known.record) ? known.record.pid
                                                             : 0;
        if (pid == 0) continue;
        std::set<std::uint64_t> inodes{known.out, known.err, known.probe};
        inodes.insert(known.sockets.begin(), known.sockets.end());
        const auto own = kept_inodes(known.node);
        inodes.insert(own.begin(), own.end());
        if (!known.node.is_null()) inodes.insert(shared.begin(), shared.end());
        std::erase_if(
            inodes, [&](std::uint64_t inode) { return inode == 0 || kept.rest().contains(inode); });
        for (ipc::UniqueFd& fd : take_back(system, pid, std::move(inodes)))
            kept.add(std::move(fd));
    }
}

Control::Apps Control::declare_saved(const SavedState& state, KeptFds& kept)
{
    std::set<std::string> adopted;
    for (const auto& [number, app] : state.apps) {
        for (const ipc::ListenAddress& address : app.spec.listen) {
            const auto known =
                std::ranges::find(state.listeners, address.text, &KnownListener::address);
            if (known != state.listeners.end() && adopted.insert(address.text).second)
                supervisor_.adopt_listener(address, *known, kept);
        }
    }
    for (const auto& [app, handles] : state.node.items())
        supervisor_.adopt_node_handles(app, handles, kept);

    Apps apps;
    for (const auto& [number, app] : state.apps) {
        const auto inherited = intern(*state.environments.at(app.environment));
        auto declared = supervisor_.declare(app.spec, inherited);
        if (!declared)
            log_.error(fmt::format("restore {}: {}", app.spec.name, declared.error().text()));
        // Its sockets are tried again at the next launch, which tells if they cannot be had.
        apps[number] = declared ? *declared : supervisor_.declare_closed(app.spec, inherited);
    }
    return apps;
}

void Control::adopt_rows(SavedState& state, const Apps& apps, KeptFds& kept, const Unseen& unseen)
{
    for (auto& [key, row] : state.workers) {
        std::optional<ProcessStat> process;
        if (const auto found = unseen.find(key); found != unseen.end()) {
            forget_process(row.known.record);
            process = found->second;
        }
        supervisor_.adopt(std::move(row.known), apps.at(row.app), kept, process);
    }
}

/// What the journal says is under way until it is taken up.
UnderWay Control::unfinished(const SavedState& state, const Apps& apps)
{
    UnderWay all{.reloads = {}, .held = state.held, .ending = state.ending};
    for (const SavedReload& reload : state.reloads) {
        const auto app = apps.find(reload.app);
        all.reloads.push_back({.name = reload.name,
                               .ids = reload.ids,
                               .app = app == apps.end() ? nullptr : app->second,
                               .cause = reload.cause,
                               .on_step = [](const Worker&, const ReloadStep&) {},
                               .on_done =
                                   [this](const std::optional<WaitFailure>& failure) {
                                       if (failure)
                                           log_.error(
                                               fmt::format("reload of {}, taken up again: {}",
                                                           failure->name, failure->reason));
                                   }});
    }
    return all;
}

/// Whatever was under way goes on.
void Control::take_up(const SavedState& state, const std::vector<EndedProcess>& ended,
                      milliseconds told_within)
{
    for (const EndedProcess& process : ended)
        on_ended(process);
    supervisor_.resume(told_within);
    ordering_.restore(state.held);
    for (const auto& [key, row] : state.workers) {
        Worker* worker = supervisor_.find_row(key);
        if (worker && row.wanted && worker->life.state == State::stopped && !worker->alive() &&
            worker->waits_for.empty())
            ordering_.start(*worker, Event::start_asked, "restored by a new daemon");
    }
    end_halves();
    ending_ = state.ending; // what was wanted was written down when it began
    for (const Reloads::Order& order : unfinished_.reloads)
        reloads_.start(order);
    if (state.ending == Ending::kill) kill_all("kill, taken up again", [](const WaitResult&) {});
    if (state.ending == Ending::stop) stop_all([this] { endings_.quit(); });
}

/// Successors of an interrupted reload that have not taken over, and old ones that had not been
/// asked to leave.
void Control::end_halves()
{
    std::vector<std::uint64_t> halves;
    for (const Worker* worker : supervisor_.rows())
        if (!supervisor_.is_shown(*worker)) halves.push_back(worker->key);
    for (const std::uint64_t key : halves) {
        Worker* half = supervisor_.find_row(key);
        if (half && half->life.after != After::remove)
            supervisor_.ask(*half, Event::delete_asked, "its reload was interrupted",
                            Leave::drained);
    }
}

} // namespace cluster::supervisor
