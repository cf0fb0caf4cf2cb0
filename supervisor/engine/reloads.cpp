#include "supervisor/engine/reloads.hpp"

#include "supervisor/engine/node_cluster.hpp"

#include <utility>

namespace cluster::supervisor {

bool can_overlap(const App& app)
{
    return !app.listeners.empty() || is_node_cluster(app.spec);
}

Reloads::Reloads(Supervisor& supervisor, Waiting& waiting)
    : supervisor_{supervisor}, waiting_{waiting}
{
}

bool Reloads::running(std::string_view app_name) const
{
    return runs_.contains(app_name);
}

/// False for a run that was cancelled while one of its waits was open.
bool Reloads::current(const RunPtr& run) const
{
    const auto found = runs_.find(run->name);
    return found != runs_.end() && found->second == run;
}

void Reloads::start(const std::string& app_name, std::vector<int> ids,
                    std::shared_ptr<const App> app, std::string cause, OnStep on_step,
                    OnDone on_done)
{
    auto run = std::make_shared<Run>();
    run->name = app_name;
    run->left.assign(ids.begin(), ids.end());
    run->app = std::move(app);
    run->cause = std::move(cause);
    run->on_step = std::move(on_step);
    run->on_done = std::move(on_done);
    runs_[app_name] = run;
    replace_next(run);
}

void Reloads::replace_next(const RunPtr& run)
{
    while (!run->left.empty() && !supervisor_.find(run->left.front()))
        run->left.pop_front();
    if (run->left.empty()) return finish(run, std::nullopt);

    const Worker& old = *supervisor_.find(run->left.front());
    Worker& successor = supervisor_.add_successor(old, run->app);
    run->successor = successor.key;
    Waiting::Wait& wait = waiting_.prepare({}, [this, run](WaitResult result) {
        if (current(run)) successor_up(run, std::move(result));
    });
    waiting_.add(wait, successor, Goal::stable);
    supervisor_.ask(successor, Event::start_asked, run->cause);
    waiting_.begin(wait);
}

void Reloads::successor_up(const RunPtr& run, WaitResult result)
{
    Worker* successor = supervisor_.find_row(run->successor);
    if (!result.failures.empty() || !successor) {
        if (successor) supervisor_.abandon(*successor, "it did not get up");
        run->successor = 0;
        WaitFailure failure =
            result.failures.empty() ? WaitFailure{} : std::move(result.failures.front());
        return finish(run, std::move(failure));
    }
    run->successor = 0;
    if (!supervisor_.find(successor->id)) { // deleted meanwhile by its own means
        supervisor_.abandon(*successor, "its place is gone");
        run->left.pop_front();
        return replace_next(run);
    }
    Worker& old = supervisor_.promote(*successor);
    run->on_step(*successor, "ready");
    drain(run, old);
}

void Reloads::drain(const RunPtr& run, Worker& old)
{
    Waiting::Wait& wait = waiting_.prepare({}, [this, run](const WaitResult&) {
        if (!current(run)) return;
        if (const Worker* worker = supervisor_.find(run->left.front()))
            run->on_step(*worker, "drained");
        run->left.pop_front();
        replace_next(run);
    });
    waiting_.add(wait, old, Goal::gone);
    supervisor_.ask(old, Event::delete_asked, run->cause);
    waiting_.begin(wait);
}

void Reloads::finish(const RunPtr& run, std::optional<WaitFailure> failure)
{
    runs_.erase(run->name);
    run->on_done(std::move(failure));
}

void Reloads::cancel(const std::string& app_name, const std::string& cause)
{
    const auto found = runs_.find(app_name);
    if (found == runs_.end()) return;
    const RunPtr run = found->second;
    WaitFailure failure{.id = run->left.empty() ? -1 : run->left.front(),
                        .name = app_name,
                        .stage = "cancelled",
                        .reason = "the reload was cancelled: " + cause,
                        .status = {},
                        .errors = {}};
    Worker* successor = supervisor_.find_row(std::exchange(run->successor, 0));
    finish(run, std::move(failure));
    if (successor) supervisor_.abandon(*successor, cause);
}

void Reloads::cancel_all(const std::string& cause)
{
    while (!runs_.empty())
        cancel(std::string{runs_.begin()->first}, cause);
}

} // namespace cluster::supervisor
