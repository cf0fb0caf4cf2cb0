#include "supervisor/engine/waiting.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr milliseconds kLookEvery{5};

/// Nanoseconds on a CPU so far: first field of /proc/PID/schedstat.
std::uint64_t cpu_time(ipc::System& system, pid_t pid)
{
    const auto text = system.read_file(fmt::format("/proc/{}/schedstat", pid));
    std::uint64_t value = 0;
    if (text) std::from_chars(text->data(), text->data() + text->size(), value);
    return value;
}

bool ended_as_wanted(const Worker& worker)
{
    // autorestart: false or one of stop_exit_codes: a job that is through, not a failure.
    if (worker.life.state != State::stopped || !worker.last_status) return false;
    const auto& [code, signal] = *worker.last_status;
    return signal == 0 &&
           (code == 0 || std::ranges::count(worker.spec().stop_exit_codes, code) > 0);
}

} // namespace

Waiting::Waiting(Supervisor& supervisor, boost::asio::io_context& loop)
    : supervisor_{supervisor}, look_timer_{loop}
{
}

Waiting::Wait& Waiting::prepare(OnProgress on_progress, OnDone on_done)
{
    Wait& wait = waits_.emplace_back();
    wait.on_progress = std::move(on_progress);
    wait.on_done = std::move(on_done);
    return wait;
}

void Waiting::add(Wait& wait, const Worker& worker, Goal goal)
{
    const auto [entry, fresh] = wait.entries.try_emplace(worker.key);
    if (fresh) ++wait.open;
    entry->second.goal = goal; // the last word counts: restarted, then scaled away
    entry->second.id = worker.id;
    entry->second.name = worker.spec().name;
}

void Waiting::begin(Wait& wait)
{
    wait.begun = true;
    for (auto& [key, entry] : wait.entries) {
        if (entry.done) continue;
        if (const Worker* worker = supervisor_.find_row(key))
            evaluate(wait, *worker, entry, std::nullopt);
        else
            finish_entry(wait, key, entry, std::nullopt);
    }
    finish_ready_waits();
}

void Waiting::postpone(const Worker& worker)
{
    for (Wait& wait : waits_) {
        const auto entry = wait.entries.find(worker.key);
        if (entry != wait.entries.end()) entry->second.postponed = true;
    }
}

void Waiting::give_up(const Worker& worker, const std::string& stage, const std::string& reason)
{
    for (Wait& wait : waits_) {
        const auto entry = wait.entries.find(worker.key);
        if (entry == wait.entries.end() || entry->second.done) continue;
        WaitFailure failure = failure_of(worker, stage);
        failure.reason = reason;
        failure.status.reset();
        failure.errors.clear();
        finish_entry(wait, worker.key, entry->second, std::move(failure));
    }
    finish_ready_waits();
}

void Waiting::on_transition(const Worker& worker, Event event)
{
    for (Wait& wait : waits_) {
        const auto entry = wait.entries.find(worker.key);
        if (entry == wait.entries.end() || entry->second.done) continue;
        evaluate(wait, worker, entry->second, event);
    }
    finish_ready_waits();
}

void Waiting::on_removed(const Worker& worker)
{
    for (Wait& wait : waits_) {
        const auto entry = wait.entries.find(worker.key);
        if (entry == wait.entries.end() || entry->second.done) continue;
        std::optional<WaitFailure> failure;
        if (entry->second.goal == Goal::up || entry->second.goal == Goal::stable) {
            failure = failure_of(worker, "stop");
            failure->reason = "deleted meanwhile";
        }
        finish_entry(wait, worker.key, entry->second, std::move(failure));
    }
    finish_ready_waits();
}

void Waiting::evaluate(Wait& wait, const Worker& worker, Entry& entry, std::optional<Event> event)
{
    const State state = worker.life.state;
    if (event == Event::unkillable)
        return finish_entry(wait, worker.key, entry, failure_of(worker, "stop"));
    if (entry.goal == Goal::down) {
        if (state == State::stopped) finish_entry(wait, worker.key, entry, std::nullopt);
        return;
    }
    if (entry.goal == Goal::gone) return;

    const bool launched_before = entry.launched;
    // A start asked for what is online already changes nothing: it is up.
    if (event) entry.postponed = false;
    if (state == State::launching || (!event && state == State::online && !entry.postponed))
        entry.launched = true;
    // The end of what runs is no failure. What did not run is being launched already.
    if (event == Event::restart_asked && state != State::launching) entry.launched = false;
    if (event == Event::spawn_failed || event == Event::spawn_postponed)
        return finish_entry(wait, worker.key, entry, failure_of(worker, "launch"));
    if (event == Event::overdue && entry.launched)
        return finish_entry(wait, worker.key, entry, failure_of(worker, "ready"));
    if (event == Event::gone && launched_before) {
        auto failure =
            ended_as_wanted(worker) ? std::nullopt : std::optional{failure_of(worker, "exit")};
        return finish_entry(wait, worker.key, entry, std::move(failure));
    }
    const bool given_up = event == Event::stop_asked || event == Event::delete_asked;
    if (given_up && (state == State::stopping || state == State::stopped)) {
        WaitFailure failure = failure_of(worker, "stop");
        failure.reason = worker.cause;
        return finish_entry(wait, worker.key, entry, std::move(failure));
    }
    if (state == State::online && entry.launched) look_later();
}

WaitFailure Waiting::failure_of(const Worker& worker, std::string stage)
{
    WaitFailure failure{.id = worker.id,
                        .name = worker.spec().name,
                        .stage = std::move(stage),
                        .reason = {},
                        .status = worker.last_status,
                        .errors = supervisor_.last_errors(worker)};
    if (failure.stage == "launch") {
        failure.reason = worker.launch_fault;
        if (worker.life.state == State::waiting_restart)
            failure.reason += "; tried again every second";
        failure.status.reset();
        failure.errors.clear();
    } else if (failure.stage == "ready") {
        failure.reason =
            fmt::format("not ready within {} ms{}{}", worker.spec().ready_limit().count(),
                        worker.unready.empty() ? "" : ": ", worker.unready);
        failure.status.reset();
    } else if (failure.stage == "exit" && !worker.exits.empty()) {
        failure.reason = worker.exits.front().reason;
        failure.errors = worker.exits.front().errors;
    } else {
        failure.reason = "still runs after SIGKILL";
    }
    return failure;
}

void Waiting::finish_entry(Wait& wait, std::uint64_t key, Entry& entry,
                           std::optional<WaitFailure> failure)
{
    entry.done = true;
    --wait.open;
    const bool failed = failure.has_value();
    if (failure) wait.failures.push_back(std::move(*failure));
    if (!wait.on_progress) return;
    const Worker* worker = supervisor_.find_row(key);
    const bool removed = !worker || entry.goal == Goal::gone;
    const int total = static_cast<int>(wait.entries.size());
    wait.on_progress({.done = total - wait.open,
                      .total = total,
                      .id = entry.id,
                      .name = entry.name,
                      .status = removed ? "deleted" : std::string{name_of(worker->life.state)},
                      .failed = failed});
}

void Waiting::finish_ready_waits()
{
    for (auto wait = waits_.begin(); wait != waits_.end();) {
        if (!wait->begun || wait->open > 0) {
            ++wait;
            continue;
        }
        WaitResult result{.ids = {}, .failures = std::move(wait->failures)};
        for (const auto& [key, entry] : wait->entries)
            result.ids.push_back(entry.id);
        std::ranges::sort(result.ids); // keys are in the order of birth
        // After this turn: the transition that brought us here is still being carried out.
        boost::asio::post(look_timer_.get_executor(),
                          [done = std::move(wait->on_done), result = std::move(result)]() mutable {
                              done(std::move(result));
                          });
        wait = waits_.erase(wait);
    }
}

void Waiting::look_later()
{
    if (std::exchange(look_armed_, true)) return;
    look_timer_.expires_after(kLookEvery);
    look_timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        look_armed_ = false;
        look();
    });
}

void Waiting::look()
{
    bool more = false;
    for (Wait& wait : waits_) {
        for (auto& [key, entry] : wait.entries) {
            if (entry.done || !entry.launched) continue;
            const Worker* worker = supervisor_.find_row(key);
            if (!worker || worker->life.state != State::online) continue;
            if (at_rest(*worker, entry))
                finish_entry(wait, key, entry, std::nullopt);
            else
                more = true;
        }
    }
    finish_ready_waits();
    if (more) look_later();
}

bool Waiting::at_rest(const Worker& worker, Entry& entry)
{
    const milliseconds now = supervisor_.clock().now();
    const milliseconds soak = worker.spec().reload.soak.value_or(worker.spec().min_uptime);
    if (entry.goal == Goal::stable) return now - worker.online_at >= soak;
    if (worker.spec().declares_readiness()) return true;
    if (now - worker.started_at >= worker.spec().min_uptime) return true;
    std::uint64_t cpu = 0;
    bool asleep = true;
    for (const pid_t pid : live_tree(supervisor_.system(), worker.pid)) {
        const auto about = read_stat(supervisor_.system(), pid);
        if (about && about->state != 'S') asleep = false;
        cpu += cpu_time(supervisor_.system(), pid);
    }
    const bool same = cpu > 0 && cpu == std::exchange(entry.cpu_seen, cpu);
    return asleep && same;
}

} // namespace cluster::supervisor
