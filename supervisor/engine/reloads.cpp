#include "supervisor/engine/reloads.hpp"

#include "supervisor/engine/node_cluster.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr milliseconds kRecycleJitter{1000};
constexpr std::chrono::seconds kRecycleAgain{30}; ///< after one that failed

bool same_declaration(const App& a, const App& b)
{
    return a.spec == b.spec && *a.inherited == *b.inherited;
}

/// A failed slot before it is known what failed.
WaitFailure failure_of(const std::string& name, int id, std::string stage, std::string reason)
{
    return {.id = id,
            .name = name,
            .stage = std::move(stage),
            .reason = std::move(reason),
            .status = {},
            .errors = {}};
}

} // namespace

bool can_overlap(const App& app)
{
    return !app.listeners.empty() || is_node_cluster(app.spec);
}

Reloads::Reloads(Supervisor& supervisor, Waiting& waiting, boost::asio::io_context& loop)
    : supervisor_{supervisor}, waiting_{waiting}, loop_{loop}, chance_{std::random_device{}()}
{
}

std::vector<Reloads::Order> Reloads::orders() const
{
    std::vector<Order> all;
    for (const auto& [name, run] : runs_) {
        Order rest = run->order;
        rest.ids.clear();
        for (std::size_t at = 0; at < run->slots.size(); ++at) {
            const SlotPhase phase =
                run->rollout.slots.empty() ? SlotPhase::waiting : run->rollout.slots[at];
            if (phase != SlotPhase::leaving && phase != SlotPhase::done)
                rest.ids.push_back(run->slots[at].id);
        }
        if (!rest.ids.empty()) all.push_back(std::move(rest));
    }
    for (const auto& [name, waiting] : queued_)
        all.insert(all.end(), waiting.begin(), waiting.end());
    return all;
}

std::set<std::string> Reloads::names() const
{
    std::set<std::string> all;
    for (const auto& [name, run] : runs_)
        all.insert(name);
    for (const auto& [name, waiting] : queued_)
        if (!waiting.empty()) all.insert(name);
    return all;
}

bool Reloads::running(std::string_view app_name) const
{
    return runs_.contains(app_name);
}

/// False for a run that has ended while one of its waits was open.
bool Reloads::current(const RunPtr& run) const
{
    const auto found = runs_.find(run->order.name);
    return found != runs_.end() && found->second == run;
}

void Reloads::start(Order order)
{
    if (running(order.name)) return queued_[order.name].push_back(std::move(order));
    begin(std::move(order));
}

void Reloads::begin(Order order)
{
    auto run = std::make_shared<Run>();
    for (const int id : order.ids) {
        const Worker* worker = supervisor_.find(id);
        if (worker && (order.key == 0 || order.key == worker->key))
            run->slots.push_back({.id = id, .successor = 0, .before = worker->app});
    }
    run->order = std::move(order);
    run->began = supervisor_.clock().now();
    runs_[run->order.name] = run;
    if (run->slots.empty()) return finish(run, std::nullopt);

    const App& app = run->order.app ? *run->order.app : *run->slots.front().before;
    run->handover = settled(handover_of(run->order.name, app, run->slots.size()), run->slots.size(),
                            app.spec.reload);
    run->rollout = plan_rollout(run->slots.size(), run->handover, app.spec.reload);
    if (run->handover == Handover::generation) {
        auto next = supervisor_.next_generation(app);
        if (!next)
            return fail(run, failure_of(run->order.name, run->slots.front().id, "launch",
                                        next.error().text()));
        run->next = std::move(*next);
    }
    advance(run);
}

/// Who else accepts from the app's sockets decides: a socket that another app has too, or a part of
/// the workers keeps, cannot be left by a generation.
Handover Reloads::handover_of(const std::string& name, const App& app, std::size_t slots) const
{
    if (!can_overlap(app)) return Handover::in_place;
    if (app.spec.balance == ipc::Balance::reuseport && !is_node_cluster(app.spec))
        return Handover::one_by_one;
    const bool all = slots == supervisor_.of_app(name).size();
    const bool alone = std::ranges::none_of(supervisor_.workers(), [&](const auto& row) {
        const App& other = *row.second->app;
        return other.spec.name != name &&
               std::ranges::any_of(other.listeners, [&](const auto& listener) {
                   return std::ranges::count(app.listeners, listener) > 0;
               });
    });
    return all && alone ? Handover::generation : Handover::one_by_one;
}

void Reloads::advance(const RunPtr& run)
{
    const auto retiring = to_retire(run->rollout);
    // Before go_live, which writes down who gets the connections: the same write then names the
    // successors as those in place, and a manager that comes after us does not end them as halves.
    for (const std::size_t at : retiring)
        take_over(run, at);
    if (!retiring.empty() && run->rollout.together) go_live(*run);
    for (const std::size_t at : retiring)
        retire(run, at);
    for (const std::size_t at : to_start(run->rollout)) {
        if (!current(run)) return;
        run->rollout.slots[at] = SlotPhase::starting;
        start_slot(run, at);
    }
    if (!current(run) || !finished(run->rollout)) return;
    if (!run->order.goes_back) ++tallies_[run->order.name].done;
    finish(run, std::nullopt);
}

void Reloads::go_live(const Run& run)
{
    supervisor_.go_live(run.order.app ? *run.order.app : *run.slots.front().before, run.next);
}

void Reloads::start_slot(const RunPtr& run, std::size_t at)
{
    Slot& slot = run->slots[at];
    Worker* worker = supervisor_.find(slot.id);
    if (!worker) return slot_done(run, at); // deleted by its own means
    slot.before = worker->app;
    if (run->handover == Handover::in_place) return replace_in_place(run, at);

    Worker& successor =
        supervisor_.add_successor(*worker, run->order.app ? run->order.app : worker->app);
    successor.sockets = run->next;
    successor.incoming = run->handover == Handover::generation;
    successor.must_listen = worker->node && worker->node->listens();
    slot.successor = successor.key;
    Waiting::Wait& wait = waiting_.prepare({}, [this, run, at](WaitResult result) {
        if (current(run)) successor_up(run, at, std::move(result));
    });
    waiting_.add(wait, successor, Goal::stable);
    tell(*run, successor, "starting");
    supervisor_.ask(successor, Event::start_asked, run->order.cause);
    waiting_.begin(wait);
}

void Reloads::replace_in_place(const RunPtr& run, std::size_t at)
{
    Worker& worker = *supervisor_.find(run->slots[at].id);
    if (run->order.app) supervisor_.change(worker, run->order.app);
    Waiting::Wait& wait = waiting_.prepare({}, [this, run, at](WaitResult result) {
        if (!current(run)) return;
        Worker* found = supervisor_.find(run->slots[at].id);
        if (!result.failures.empty()) {
            if (found) go_back(*found, *run, at);
            return fail(run, std::move(result.failures.front()));
        }
        if (found) tell(*run, *found, "done");
        slot_done(run, at);
    });
    waiting_.add(wait, worker, Goal::stable);
    tell(*run, worker, "starting");
    supervisor_.ask(worker, Event::restart_asked, run->order.cause);
    waiting_.begin(wait);
}

/// What has been replaced in place and does not come up: what was there before is tried again.
void Reloads::go_back(Worker& worker, const Run& run, std::size_t at)
{
    const auto& before = run.slots[at].before;
    if (same_declaration(*worker.app, *before)) return;
    supervisor_.change(worker, before);
    supervisor_.ask(worker, Event::restart_asked, "the reload failed");
}

void Reloads::slot_done(const RunPtr& run, std::size_t at)
{
    run->slots[at].successor = 0;
    run->rollout.slots[at] = SlotPhase::done;
    // Not from within the loop over the slots that may have brought us here.
    boost::asio::post(loop_, [this, run] {
        if (current(run)) advance(run);
    });
}

void Reloads::successor_up(const RunPtr& run, std::size_t at, WaitResult result)
{
    Worker* successor = supervisor_.find_row(run->slots[at].successor);
    if (!result.failures.empty()) return fail(run, std::move(result.failures.front()));
    if (!successor)
        return fail(run,
                    failure_of(run->order.name, run->slots[at].id, "stop", "deleted meanwhile"));
    tell(*run, *successor, "ready");
    run->rollout.slots[at] = SlotPhase::standing_by;
    advance(run);
}

/// The successor gets the place in the table, if that is still there.
void Reloads::take_over(const RunPtr& run, std::size_t at)
{
    Slot& slot = run->slots[at];
    if (!supervisor_.find(slot.id)) return;
    run->rollout.slots[at] = SlotPhase::leaving;
    Worker& successor = *supervisor_.find_row(std::exchange(slot.successor, 0));
    slot.old = supervisor_.promote(successor).key;
}

void Reloads::retire(const RunPtr& run, std::size_t at)
{
    Slot& slot = run->slots[at];
    Worker* old = supervisor_.find_row(std::exchange(slot.old, 0));
    if (!old) { // deleted by its own means
        supervisor_.abandon(*supervisor_.find_row(std::exchange(slot.successor, 0)),
                            "its place is gone");
        return slot_done(run, at);
    }
    Waiting::Wait& wait = waiting_.prepare({}, [this, run, at](const WaitResult&) {
        if (!current(run)) return;
        if (const Worker* worker = supervisor_.find(run->slots[at].id)) tell(*run, *worker, "done");
        slot_done(run, at);
    });
    waiting_.add(wait, *old, Goal::gone);
    run->leaving[old->key] = at;
    tell(*run, *supervisor_.find(slot.id), "draining");
    supervisor_.ask(*old, Event::delete_asked, run->order.cause, Leave::drained);
    waiting_.begin(wait);
}

void Reloads::fail(const RunPtr& run, WaitFailure failure)
{
    if (const Worker* worker = supervisor_.find(failure.id))
        tell(*run, *worker, "failed", failure.reason);
    ++tallies_[run->order.name].failed;
    remove_successors(*run, "the reload failed");
    if (!roll_back(run, failure)) finish(run, std::move(failure));
}

/// The workers that have been replaced go back in the same way, and the failure is told after that.
/// Not when that would make no difference: the program is read from the same file.
bool Reloads::roll_back(const RunPtr& run, const WaitFailure& failure)
{
    Order back{.name = run->order.name,
               .ids = {},
               .app = nullptr,
               .cause = "the reload failed: back to what was declared before",
               .on_step = run->order.on_step,
               .on_done = [on_done = run->order.on_done,
                           failure](const std::optional<WaitFailure>&) { on_done(failure); },
               .key = 0,
               .goes_back = true};
    for (std::size_t at = 0; at < run->slots.size(); ++at) {
        const auto& before = run->slots[at].before;
        const bool replaced = run->rollout.slots[at] == SlotPhase::leaving ||
                              run->rollout.slots[at] == SlotPhase::done;
        const Worker* worker = supervisor_.find(run->slots[at].id);
        if (!replaced || !worker || same_declaration(*worker->app, *before)) continue;
        back.ids.push_back(run->slots[at].id);
        back.app = before;
    }
    if (back.ids.empty()) return false;
    run->order.on_done = [](const std::optional<WaitFailure>&) {};
    queued_[back.name].push_front(std::move(back));
    finish(run, std::nullopt);
    return true;
}

void Reloads::remove_successors(Run& run, const std::string& cause)
{
    for (Slot& slot : run.slots) {
        Worker* successor = supervisor_.find_row(std::exchange(slot.successor, 0));
        if (successor) supervisor_.abandon(*successor, cause);
    }
}

void Reloads::finish(const RunPtr& run, std::optional<WaitFailure> failure)
{
    const std::string name = run->order.name;
    runs_.erase(name);
    run->next.clear();
    supervisor_.tidy_listeners();
    run->order.on_done(std::move(failure));
    begin_next(name);
}

void Reloads::begin_next(const std::string& app_name)
{
    const auto waiting = queued_.find(app_name);
    if (waiting == queued_.end() || running(app_name)) return;
    Order order = std::move(waiting->second.front());
    waiting->second.pop_front();
    if (waiting->second.empty()) queued_.erase(waiting);
    begin(std::move(order));
}

void Reloads::cancel(const std::string& app_name, const std::string& cause)
{
    const auto failure = [&](const Order& order) {
        return failure_of(app_name, order.ids.empty() ? -1 : order.ids.front(), "cancelled",
                          "the reload was cancelled: " + cause);
    };
    if (auto queued = queued_.extract(app_name)) {
        for (const Order& order : queued.mapped())
            order.on_done(failure(order));
    }
    const auto found = runs_.find(app_name);
    if (found == runs_.end()) return;
    const RunPtr run = found->second;
    ++tallies_[app_name].cancelled;
    remove_successors(*run, cause);
    finish(run, failure(run->order));
}

void Reloads::cancel_all(const std::string& cause)
{
    while (!runs_.empty())
        cancel(std::string{runs_.begin()->first}, cause);
}

bool Reloads::abort(const std::string& app_name, const std::string& cause)
{
    const auto found = runs_.find(app_name);
    if (found == runs_.end()) return false;
    const RunPtr run = found->second;
    fail(run, failure_of(app_name, run->slots.empty() ? -1 : run->slots.front().id, "aborted",
                         "the reload was aborted: " + cause));
    return true;
}

void Reloads::recycle(const Worker& worker, const std::string& cause)
{
    if (!recycling_.insert(worker.key).second) return;
    auto pause = std::make_shared<boost::asio::steady_timer>(loop_);
    const auto done = [this, pause, key = worker.key](const std::optional<WaitFailure>& failure) {
        if (!failure) {
            recycling_.erase(key);
            return;
        }
        pause->expires_after(kRecycleAgain);
        pause->async_wait([this, pause, key](error_code) { recycling_.erase(key); });
    };
    Order order{.name = worker.spec().name,
                .ids = {worker.id},
                .app = nullptr,
                .cause = cause,
                .on_step = [](const Worker&, const ReloadStep&) {},
                .on_done = done,
                .key = worker.key};
    std::uniform_int_distribution<milliseconds::rep> spread{0, kRecycleJitter.count()};
    pause->expires_after(milliseconds{spread(chance_)});
    pause->async_wait([this, pause, order = std::move(order)](error_code cancelled) mutable {
        if (cancelled) return;
        const Worker* still = supervisor_.find_row(order.key);
        if (!still || still->life.state != State::online) return order.on_done(std::nullopt);
        start(std::move(order));
    });
}

/// A successor that ends while it stands by: its wait is over already.
void Reloads::on_transition(const Worker& worker, Event event)
{
    const auto found = runs_.find(worker.spec().name);
    if (found == runs_.end()) return;
    const RunPtr run = found->second;
    if (event == Event::drained) {
        const auto at = run->leaving.find(worker.key);
        if (at != run->leaving.end()) tell(*run, worker, "stopping", worker.drain_note);
        return;
    }
    if (event != Event::gone && event != Event::unkillable) return;
    const auto slot = std::ranges::find(run->slots, worker.key, &Slot::successor);
    if (slot == run->slots.end()) return;
    const auto at = static_cast<std::size_t>(slot - run->slots.begin());
    if (run->rollout.slots[at] != SlotPhase::standing_by) return;
    // After this turn: the transition is still being carried out.
    boost::asio::post(loop_, [this, run, failure = waiting_.failure_of(worker, "exit")] {
        if (current(run)) fail(run, failure);
    });
}

void Reloads::tell(const Run& run, const Worker& worker, std::string_view phase, std::string note)
{
    run.order.on_step(worker, {.phase = phase,
                               .elapsed = supervisor_.clock().now() - run.began,
                               .note = std::move(note)});
}

} // namespace cluster::supervisor
