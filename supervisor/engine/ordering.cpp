#include "supervisor/engine/ordering.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

std::string_view name_of(ipc::Condition condition)
{
    switch (condition) {
    case ipc::Condition::started:
        return "started";
    case ipc::Condition::ready:
        return "ready";
    case ipc::Condition::completed:
        return "completed";
    }
    std::unreachable();
}

} // namespace

Ordering::Ordering(Supervisor& supervisor, Waiting& waiting, boost::asio::io_context& loop)
    : supervisor_{supervisor}, waiting_{waiting}, loop_{loop}
{
}

void Ordering::start(Worker& worker, Event event, const std::string& cause)
{
    forget(worker);
    if (worker.spec().depends_on.empty()) return supervisor_.ask(worker, event, cause);
    waiting_.postpone(worker);
    supervisor_.hold_back(worker, "its turn");
    hold({.key = worker.key, .event = event, .cause = cause, .before = nullptr});
}

void Ordering::end(const std::vector<int>& ids, Event event, const std::string& cause)
{
    auto keys = std::make_shared<std::set<std::uint64_t>>();
    std::set<std::string> needed; // copies: the apps may be gone before the loop is through
    for (const int id : ids) {
        const Worker* worker = supervisor_.find(id);
        if (!worker) continue;
        keys->insert(worker->key);
        for (const auto& [name, condition] : worker->spec().depends_on)
            needed.insert(name);
    }
    for (const int id : ids) {
        Worker* worker = supervisor_.find(id);
        if (!worker) continue;
        forget(*worker);
        if (needed.contains(worker->spec().name))
            hold({.key = worker->key, .event = event, .cause = cause, .before = keys});
        else
            supervisor_.ask(*worker, event, cause);
    }
}

void Ordering::restore(std::vector<Held> held)
{
    for (Held& one : held) {
        Worker* worker = supervisor_.find_row(one.key);
        if (!worker) continue;
        if (!one.before) supervisor_.hold_back(*worker, "its turn");
        hold(std::move(one));
    }
}

void Ordering::forget(Worker& worker)
{
    supervisor_.hold_back(worker, "");
    std::erase_if(held_, [&](const Held& held) { return held.key == worker.key; });
}

void Ordering::on_change()
{
    if (held_.empty() || std::exchange(posted_, true)) return;
    boost::asio::post(loop_, [this] {
        posted_ = false;
        look();
    });
}

/// Looked at in the next turn: the others of the same request are asked by then.
void Ordering::hold(Held held)
{
    held_.push_back(std::move(held));
    on_change();
}

Ordering::Verdict Ordering::may_start(const Worker& worker) const
{
    Verdict worst;
    for (const auto& [name, condition] : worker.spec().depends_on) {
        std::vector<PeerView> peers;
        for (const int id : supervisor_.of_app(name)) {
            const Worker& peer = *supervisor_.find(id);
            peers.push_back({.state = peer.life.state,
                             .held = !peer.waits_for.empty(),
                             .last = peer.last_status});
        }
        const Met met = condition_met(condition, peers);
        if (met <= worst.met) continue;
        worst = {.met = met, .reason = fmt::format("waits for {} ({})", name, name_of(condition))};
        if (met == Met::never)
            worst.reason = fmt::format("depends on {} ({}), which {}", name, name_of(condition),
                                       peers.empty() ? "is not declared" : "is down");
    }
    return worst;
}

bool Ordering::may_end(const Worker& worker, const std::set<std::uint64_t>& others) const
{
    return std::ranges::none_of(others, [&](std::uint64_t key) {
        const Worker* other = supervisor_.find_row(key);
        return other && !other->at_rest() && other->spec().depends_on.contains(worker.spec().name);
    });
}

void Ordering::look()
{
    while (look_once()) {
    }
}

/// One that can be settled; what it sets off may settle others.
bool Ordering::look_once()
{
    for (auto held = held_.begin(); held != held_.end(); ++held) {
        Worker* worker = supervisor_.find_row(held->key);
        if (worker && held->before && !may_end(*worker, *held->before)) continue;
        if (worker && !held->before) {
            const Verdict verdict = may_start(*worker);
            supervisor_.hold_back(*worker, verdict.reason);
            if (verdict.met == Met::not_yet) continue;
        }
        Held taken = std::move(*held);
        held_.erase(held);
        if (worker) settle(*worker, std::move(taken));
        return true;
    }
    return false;
}

void Ordering::settle(Worker& worker, Held held)
{
    const Verdict verdict = held.before ? Verdict{} : may_start(worker);
    supervisor_.hold_back(worker, "");
    if (verdict.met == Met::never)
        waiting_.give_up(worker, "order", verdict.reason);
    else
        supervisor_.ask(worker, held.event, std::move(held.cause));
}

} // namespace cluster::supervisor
