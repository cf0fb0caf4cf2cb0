// The life of one worker as a pure state machine: no clock, no syscall, no log. The engine turns
// kernel facts and requests into events, calls `step`, stores the Lifecycle it returns and performs
// the effect. A pair that has no rule changes nothing. When the state changes, the engine disarms
// the worker's timer first; it drops events of an older process generation.
//
//   stopped ──start──▶ launching ──ready──▶ online ──gone──▶ waiting_restart ──timer──▶ launching
//      ▲                   │                   │                    │
//      └──────gone── stopping ◀──stop/restart──┴────────────────────┘ (stop: stopped)
//   any gone too often or not to be started ──▶ errored
//
// What was asked while something else is under way:
// - `start` and `restart` bring a worker without a process to life at once, also in the middle of a
//   restart delay; `restarts` stays as it is, the counters of quick exits begin anew.
// - `restart` of a live worker stops it first and counts.
// - While stopping, the last word counts (a stop cancels the start that was to follow, a start asks
//   for one), but nothing takes back a delete.
// - A tree that outlives SIGKILL makes the worker errored, whatever was to follow: neither is it
//   started beside the old one nor is it forgotten.
// - A program that cannot be executed is errored at once and is not tried again by itself. What may
//   work later (descriptors are used up, the file is being written) is tried again every second,
//   for as long as it takes, where `autorestart` is on.
//
// What happens after an exit by itself (`gone` in launching or online):
// - stopped, when `autorestart` is off or the exit code is one of `stop_exit_codes`. Death by a
//   signal has no exit code.
// - errored, when the quick exits in a row reach `max_restarts`. Quick is an uptime below
//   `min_uptime`, and only exits within min_uptime × max_restarts of the last deliberate start
//   count. 16 instant exits by default, of which 15 were restarts.
// - else another launch: at once, or after the delay. `restarts` counts it when it is launched.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"

#include <chrono>
#include <string_view>

namespace cluster::supervisor {

using std::chrono::milliseconds;

enum class State { stopped, launching, online, stopping, waiting_restart, errored };
enum class Event {
    start_asked,
    stop_asked,
    restart_asked,
    delete_asked,
    spawn_failed,    ///< the program could not be executed at all: never retried by itself
    spawn_postponed, ///< the program could not be executed now, which is no fault of it
    ready,           ///< what makes this app online has happened
    gone,            ///< the process has ended and nothing of its tree is left
    timer_fired,     ///< kill timeout while stopping, restart delay while waiting_restart
    unkillable,      ///< something of the tree outlived SIGKILL
    overdue,         ///< not ready in time: told, and changes nothing
    drained, ///< has left its connections and is told to stop now: told, and changes nothing
};
enum class Effect {
    none,
    spawn,           ///< start a process
    ask_then_timer,  ///< kill_signal to the tree, and kill_timeout from then on
    kill_tree,       ///< SIGKILL to all that is left
    wait_then_timer, ///< arm the restart delay of the step
    remove,          ///< forget the worker
};

/// What follows when a stop under way has ended.
enum class After { nothing, start, remove };

struct Lifecycle {
    State state = State::stopped;
    After after = After::nothing;
    int restarts = 0; ///< PM2's restart_time: automatic ones, and deliberate ones of a live process
    int unstable_restarts = 0;      ///< quick exits that counted, see above
    milliseconds previous_delay{0}; ///< last exponential back-off, 0 none yet
    bool operator==(const Lifecycle&) const = default;
};

/// What the `gone` event brings along; ignored for the others.
struct Gone {
    ipc::ExitStatus status;
    milliseconds uptime{0};        ///< since this process was started
    milliseconds since_created{0}; ///< since the last deliberate start, restart or reset
};

struct Step {
    Lifecycle next;
    Effect effect = Effect::none;
    milliseconds delay{0}; ///< of wait_then_timer
    bool operator==(const Step&) const = default;
};

/// Decides what `event` means for one worker. Rules: PM2's restart policy (window = min_uptime ×
/// max_restarts, quick exit = uptime < min_uptime, back-off × 1.5 up to 15 s and over again after
/// 30 s of uptime, `stop_exit_codes`, `autorestart`).
[[nodiscard]] Step step(const Lifecycle& now, Event event, const ipc::AppSpec& spec,
                        const Gone& gone = {});

/// Back to a worker without history: `clusterctl reset`.
[[nodiscard]] Lifecycle reset(Lifecycle now);

/// As shown in JSON and logs: "waiting restart" for waiting_restart, else the enumerator's name.
[[nodiscard]] std::string_view name_of(State state);
[[nodiscard]] std::string_view name_of(Event event);

} // namespace cluster::supervisor
