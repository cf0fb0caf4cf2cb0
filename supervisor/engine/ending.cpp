// Supervisor, the ending half: asking a tree to stop, killing it, and making sure that it is gone.
#include "supervisor/engine/supervisor.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <functional>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::size_t kFew = 8; ///< trees that are looked for one by one
constexpr milliseconds kMoment{10};
constexpr milliseconds kFirstSweep{5};
constexpr milliseconds kLongestSweep{100};
constexpr milliseconds kUnkillableAfter{5000}; ///< a process in an uninterruptible wait (D state)

std::string signal_name(int signal)
{
    const char* name = ::sigabbrev_np(signal);
    return name ? std::string{"SIG"} + name : std::to_string(signal);
}

std::string describe(const ipc::ExitStatus& status, milliseconds uptime)
{
    const std::string after = uptime < std::chrono::seconds{10}
                                  ? fmt::format("{} ms", uptime.count())
                                  : fmt::format("{} s", uptime.count() / 1000);
    if (status.signal != 0)
        return fmt::format("killed by {} after {}", signal_name(status.signal), after);
    if (status == ipc::kUnknownExit)
        return fmt::format("ended after {} at most, unseen by any daemon", after);
    return fmt::format("exited with code {} after {}", status.code, after);
}

TreeRoot root_of(const Worker& worker)
{
    return {.pid = worker.tree,
            .start_time = worker.start_time,
            .marker = "unique_id=" + worker.unique_id};
}

} // namespace

/// One pass for the trees of many workers. It serves all that is asked for a moment, and where it
/// took a while, in four times that while. What has come since is found by those who look again
/// until nothing is left.
void Supervisor::read_processes()
{
    if (processes_) return;
    ++looks_;
    const milliseconds begin = around_.clock.now();
    processes_.emplace(around_.system, read_process_table(around_.system), around_.reapers,
                       familiar_);
    processes_timer_.expires_after(std::max(kMoment, 4 * (around_.clock.now() - begin)));
    processes_timer_.async_wait([this](error_code cancelled) {
        if (!cancelled) processes_.reset();
    });
}

std::vector<ProcessStat> Supervisor::tree_of(const Worker& worker)
{
    if (processes_) return processes_->tree_of(root_of(worker));
    const TreeRoot root = root_of(worker);
    auto part = read_part_of_table(around_.system, root, around_.reapers, familiar_);
    return ProcessForest{around_.system, std::move(part), around_.reapers, familiar_}.tree_of(root);
}

/// Of a child of ours that nobody has waited for: its pid is its own. Tried again when it is needed
/// (for want of descriptors it cannot be read).
void Supervisor::learn_start_time(Worker& worker)
{
    if (worker.start_time != 0 || !worker.alive() || worker.adopted) return;
    if (const auto about = read_stat(around_.system, worker.pid)) {
        worker.start_time = about->start_time;
        recorder_->row(worker);
    }
}

std::vector<ProcessStat> Supervisor::members(Worker& worker)
{
    if (worker.tree == 0) return {};
    learn_start_time(worker);
    if (worker.spec().treekill) {
        auto tree = tree_of(worker);
        for (const pid_t pid : group_members(around_.system, worker.groups)) {
            const auto about = read_stat(around_.system, pid);
            if (about && !is_dead(*about) &&
                std::ranges::find(tree, pid, &ProcessStat::pid) == tree.end())
                tree.insert(tree.begin(), *about);
        }
        if (!tree.empty()) return tree;
    }
    if (!worker.alive()) return {};
    const auto own = read_stat(around_.system, worker.pid);
    if (own && own->start_time == worker.start_time) return {*own};
    if (own || is_gone(own.error()) || !worker.exit_watch) return {};
    // There is no reading /proc now, for want of descriptors. That process at least is known.
    ProcessStat known;
    known.pid = worker.pid;
    known.start_time = worker.start_time;
    return {known};
}

void Supervisor::signal_all(const std::vector<ProcessStat>& processes, int signal)
{
    for (const ProcessStat& process : processes) {
        // The table is a moment old: the number may belong to somebody else by now.
        // A worker's does not, before we have heard of its end.
        const auto now = read_stat(around_.system, process.pid);
        const bool same = now ? now->start_time == process.start_time
                              : !is_gone(now.error()) && familiar_.contains(process.pid);
        if (!same) continue;
        (void)around_.system.kill(process.pid, signal);
    }
}

/// All that one request ends is known as ending before any of it hears of that: should we be killed
/// here, nothing was done or all of it is taken up.
void Supervisor::stop_soon(const Worker& worker)
{
    if (stops_.empty()) boost::asio::post(around_.loop, [this] { begin_stops(); });
    stops_.emplace_back(worker.key, worker.generation);
}

void Supervisor::begin_stops()
{
    recorder_->flush();
    if (stops_.size() > kFew) read_processes();
    for (const auto& [key, generation] : std::exchange(stops_, {})) {
        Worker* worker = find_row(key);
        if (worker && worker->generation == generation && worker->tree != 0 &&
            worker->life.state == State::stopping && !worker->tree_killed)
            begin_stop(*worker);
    }
}

void Supervisor::begin_stop(Worker& worker)
{
    worker.draining = worker.leave == Leave::drained && begin_drain(worker);
    if (!worker.draining) end_gracefully(worker);
}

void Supervisor::end_gracefully(Worker& worker)
{
    if (!drain_node(worker)) ask_to_end(worker);
    const milliseconds limit = worker.spec().kill_timeout;
    // While its connections are being closed from outside, it has the time for that, too.
    arm(worker, worker.drain ? std::max(limit, worker.spec().drain_timeout) : limit);
}

/// PM2: with shutdown_with_message there is no signal at all.
void Supervisor::ask_to_end(Worker& worker)
{
    const bool told = worker.spec().shutdown_with_message && worker.node &&
                      worker.node->send_message("\"shutdown\"");
    if (!told) signal_all(members(worker), worker.spec().kill_signal);
    worker.told = true;
    recorder_->row(worker);
}

void Supervisor::kill_tree(Worker& worker)
{
    around_.log.warn(fmt::format("{}:{} did not stop within {} ms: SIGKILL", worker.spec().name,
                                 worker.id, worker.spec().kill_timeout.count()));
    worker.tree_killed = true;
    worker.kill_sent_at = around_.clock.now();
    if (chores_.size() > kFew) read_processes();
    if (!worker.spec().treekill || !kill_group(around_.system, worker.groups))
        signal_all(members(worker), SIGKILL);
    sweep_later(worker);
}

void Supervisor::on_exit(Worker& worker)
{
    const auto status = exit_status(worker);
    if (!status) return;
    draining_ = {.key = worker.key, .generation = worker.generation, .what = Chore::What::exit};
    logs_.drain_last({worker.out.get(), worker.err.get()});
    draining_.reset();
    if (worker.adopted) ended_.erase({worker.pid, worker.start_time});
    if (worker.shipment) worker.shipment->end_lines();
    record_exit(worker, *status);
    set_live(worker, false);
    worker.exit_watch.reset();
    worker.drain.reset();
    worker.draining = false;
    stop_serving(worker);
    worker.node.reset();
    const pid_t pid = std::exchange(worker.pid, 0);
    familiar_.erase(pid);
    recorder_->row(worker);
    recorder_->flush();
    // Only now: until it was written down, the kernel had to remember how it ended.
    if (worker.adopted)
        recorder_->end_known(pid, worker.start_time);
    else
        (void)around_.system.wait(pid);
    sampler_.forget(worker.id);
    worker.looks_before_end = looks_;
    const bool look = may_leave_something(worker);
    // Behind the others that end now: one look at all processes serves them all.
    if (look && !chores_.empty()) return do_soon(worker, Chore::What::settle);
    settle_exit(worker, look);
}

/// Whoever was draining the last output of a worker does not come back to what follows.
void Supervisor::on_held(const HeldCall& call)
{
    logs_.on_held(call);
    const auto chore = std::exchange(draining_, std::nullopt);
    const Worker* const worker = chore ? find_row(chore->key) : nullptr;
    if (worker && worker->generation == chore->generation) do_soon(*worker, chore->what);
}

/// What it has used to its very end, which the kernel tells of one that nobody has waited for.
void Supervisor::count_last_ticks(Worker& worker)
{
    const auto last = read_stat(around_.system, worker.pid);
    if (last && last->start_time == worker.start_time)
        worker.cpu_seen = std::max(worker.cpu_seen, last->cpu_ticks + last->waited_ticks);
    worker.cpu_before += std::exchange(worker.cpu_seen, 0);
}

void Supervisor::record_exit(Worker& worker, const ipc::ExitStatus& status)
{
    const milliseconds uptime = around_.clock.now() - worker.started_at;
    std::string reason = describe(status, uptime);
    const bool asked = worker.life.state == State::stopping;
    if (asked) reason += " (" + worker.cause + ")";
    const std::string hit = limits_hit(worker);
    if (!hit.empty()) reason += " (" + hit + ")";
    count_last_ticks(worker);
    ++worker.exits_by[std::to_underlying(reason_of(status, asked, !hit.empty()))];
    around_.log.info(
        fmt::format("{}:{} pid {} {}", worker.spec().name, worker.id, worker.pid, reason));
    worker.last_status = status;
    worker.exits.insert(worker.exits.begin(), ExitRecord{.at_wall_ms = around_.clock.wall_ms(),
                                                         .status = status,
                                                         .uptime = uptime,
                                                         .reason = std::move(reason),
                                                         .errors = last_errors(worker)});
    if (worker.exits.size() > kExitsKept) worker.exits.pop_back();
}

bool Supervisor::may_leave_something(const Worker& worker)
{
    // Orphans of one from before us may be with a guardian that is dead, or with pid 1.
    return worker.spec().treekill &&
           (worker.adopted ||
            may_have_survivors(around_.system, root_of(worker), around_.reapers, familiar_) ||
            !group_members(around_.system, worker.groups).empty());
}

bool Supervisor::seen_since_its_end(const Worker& worker) const
{
    return processes_ && looks_ > worker.looks_before_end;
}

/// The worker's own process has ended; `gone` happens when nothing of its tree is left, of which
/// there may be something where `look` says so.
void Supervisor::settle_exit(Worker& worker, bool look)
{
    if (look && chores_.size() > kFew && !seen_since_its_end(worker)) {
        processes_.reset();
        read_processes();
    }
    std::vector<ProcessStat> left = look ? members(worker) : std::vector<ProcessStat>{};
    if (look && left.empty() && !seen_since_its_end(worker)) {
        processes_.reset(); // they may be older than the exit
        left = members(worker);
    }
    if (left.empty()) {
        worker.tree = 0;
        worker.sweep_pause = {};
        leave_groups(worker);
        const Gone gone{.status = worker.last_status.value_or(ipc::ExitStatus{}),
                        .uptime = around_.clock.now() - worker.started_at,
                        .since_created = around_.clock.now() - worker.created_at};
        return happen(worker, Event::gone, gone);
    }
    const bool asked = worker.life.state == State::stopping && !worker.tree_killed;
    if (!asked) {
        // Left behind by a crash, or deaf to everything else.
        if (!std::exchange(worker.tree_killed, true)) worker.kill_sent_at = around_.clock.now();
        signal_all(left, SIGKILL);
    }
    sweep_later(worker);
}

bool Supervisor::lives_on(Worker& worker)
{
    processes_.reset();
    return std::ranges::any_of(members(worker), std::not_fn(is_dead));
}

void Supervisor::sweep_later(Worker& worker)
{
    worker.sweep_pause = std::clamp(worker.sweep_pause * 2, kFirstSweep, kLongestSweep);
    worker.sweep.expires_after(worker.sweep_pause);
    worker.sweep.async_wait(
        [this, key = worker.key, generation = worker.generation](error_code cancelled) {
            Worker* found = cancelled ? nullptr : find_row(key);
            // Gone already, and about to be started again.
            if (!found || found->generation != generation || found->tree == 0) return;
            const bool overdue =
                found->tree_killed && around_.clock.now() - found->kill_sent_at > kUnkillableAfter;
            // We may have been too busy to hear of its end.
            if (overdue && lives_on(*found)) return happen(*found, Event::unkillable);
            if (!found->alive()) return do_soon(*found, Chore::What::settle);
            if (found->tree_killed) sweep_later(*found);
        });
}

} // namespace cluster::supervisor
