#include "supervisor/core/lifecycle.hpp"

#include "ipc/base/check.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cluster::supervisor {
namespace {

using enum State;
using enum Event;
using enum Effect;

/// What a rule does to the counters.
enum class Count {
    keep,
    restart, ///< one more automatic restart
    fresh,   ///< quick exits and back-off begin anew: somebody wants it to run
    asked,   ///< a deliberate restart of a live process: both of the above
};

struct Rule {
    State from;
    After pending; ///< what follows the stop under way; `nothing` in every state but stopping
    Event on;
    State to;
    Effect effect;
    After after;
    Count count;
};

constexpr After nothing = After::nothing;
constexpr After then_start = After::start;
constexpr After then_remove = After::remove;
constexpr Count keep = Count::keep;
constexpr Count fresh = Count::fresh;

// clang-format off
constexpr Rule kRules[] = {
    // in state        pending      on event       go to            and do           pending      counters
    {stopped,          nothing,     start_asked,   launching,       spawn,           nothing,     fresh},
    {stopped,          nothing,     restart_asked, launching,       spawn,           nothing,     fresh},
    {stopped,          nothing,     delete_asked,  stopped,         remove,          nothing,     keep},

    {errored,          nothing,     start_asked,   launching,       spawn,           nothing,     fresh},
    {errored,          nothing,     restart_asked, launching,       spawn,           nothing,     fresh},
    {errored,          nothing,     stop_asked,    stopped,         none,            nothing,     keep},
    {errored,          nothing,     delete_asked,  stopped,         remove,          nothing,     keep},

    {waiting_restart,  nothing,     start_asked,   launching,       spawn,           nothing,     fresh},
    {waiting_restart,  nothing,     restart_asked, launching,       spawn,           nothing,     fresh},
    {waiting_restart,  nothing,     stop_asked,    stopped,         none,            nothing,     keep},
    {waiting_restart,  nothing,     delete_asked,  stopped,         remove,          nothing,     keep},
    {waiting_restart,  nothing,     timer_fired,   launching,       spawn,           nothing,     Count::restart},

    {launching,        nothing,     ready,         online,          none,            nothing,     keep},
    {launching,        nothing,     spawn_failed,  errored,         none,            nothing,     keep},
    {launching,        nothing,     spawn_postponed, waiting_restart, wait_then_timer, nothing,   keep}, // see after_postponed
    {launching,        nothing,     stop_asked,    stopping,        ask_then_timer,  nothing,     keep},
    {launching,        nothing,     restart_asked, stopping,        ask_then_timer,  then_start,  Count::asked},
    {launching,        nothing,     delete_asked,  stopping,        ask_then_timer,  then_remove, keep},
    {launching,        nothing,     gone,          waiting_restart, wait_then_timer, nothing,     keep}, // see after_exit
    {launching,        nothing,     unkillable,    errored,         none,            nothing,     keep},

    {online,           nothing,     stop_asked,    stopping,        ask_then_timer,  nothing,     keep},
    {online,           nothing,     restart_asked, stopping,        ask_then_timer,  then_start,  Count::asked},
    {online,           nothing,     delete_asked,  stopping,        ask_then_timer,  then_remove, keep},
    {online,           nothing,     gone,          waiting_restart, wait_then_timer, nothing,     keep}, // see after_exit
    {online,           nothing,     unkillable,    errored,         none,            nothing,     keep},

    {stopping,         nothing,     start_asked,   stopping,        none,            then_start,  fresh},
    {stopping,         nothing,     restart_asked, stopping,        none,            then_start,  fresh},
    {stopping,         nothing,     delete_asked,  stopping,        none,            then_remove, keep},
    {stopping,         nothing,     timer_fired,   stopping,        kill_tree,       nothing,     keep},
    {stopping,         nothing,     gone,          stopped,         none,            nothing,     keep},
    {stopping,         nothing,     unkillable,    errored,         none,            nothing,     keep},

    {stopping,         then_start,  stop_asked,    stopping,        none,            nothing,     keep},
    {stopping,         then_start,  delete_asked,  stopping,        none,            then_remove, keep},
    {stopping,         then_start,  timer_fired,   stopping,        kill_tree,       then_start,  keep},
    {stopping,         then_start,  gone,          launching,       spawn,           nothing,     keep},
    {stopping,         then_start,  unkillable,    errored,         none,            nothing,     keep},

    {stopping,         then_remove, timer_fired,   stopping,        kill_tree,       then_remove, keep},
    {stopping,         then_remove, gone,          stopped,         remove,          nothing,     keep},
    {stopping,         then_remove, unkillable,    errored,         none,            nothing,     keep},
};

constexpr std::pair<State, std::string_view> kStateNames[] = {
    {stopped, "stopped"},   {launching, "launching"},             {online, "online"},
    {stopping, "stopping"}, {waiting_restart, "waiting restart"}, {errored, "errored"},
};
constexpr std::pair<Event, std::string_view> kEventNames[] = {
    {start_asked, "start_asked"},   {stop_asked, "stop_asked"},     {restart_asked, "restart_asked"},
    {delete_asked, "delete_asked"}, {spawn_failed, "spawn_failed"}, {spawn_postponed, "spawn_postponed"}, {ready, "ready"},
    {gone, "gone"},                 {timer_fired, "timer_fired"},   {unkillable, "unkillable"},
    {overdue, "overdue"},           {drained, "drained"},
};
// clang-format on

constexpr milliseconds kMaxBackoff{15'000};
constexpr milliseconds kPostponed{1000}; ///< soon enough for users, seldom enough for the machine
constexpr milliseconds kBackoffForgiven{30'000}; ///< uptime after which the back-off starts over

void count(Lifecycle& worker, Count what)
{
    if (what == Count::restart || what == Count::asked) ++worker.restarts;
    if (what == Count::fresh || what == Count::asked) {
        worker.unstable_restarts = 0;
        worker.previous_delay = milliseconds{0};
    }
}

/// The delay before the next launch; an exponential back-off wins over a fixed delay.
milliseconds next_delay(Lifecycle& worker, const ipc::AppSpec& spec, milliseconds uptime)
{
    const milliseconds first = spec.exp_backoff_restart_delay;
    if (first <= milliseconds{0}) return spec.restart_delay;
    const milliseconds previous =
        uptime > kBackoffForgiven ? milliseconds{0} : worker.previous_delay;
    // × 1.5 on a value that the cap keeps small.
    worker.previous_delay =
        previous == milliseconds{0} ? first : std::min(kMaxBackoff, previous * 3 / 2);
    return worker.previous_delay;
}

/// PM2's restart policy for a process that ended by itself.
Step after_exit(Lifecycle worker, const ipc::AppSpec& spec, const Gone& how)
{
    const bool final_code =
        how.status.signal == 0 &&
        std::ranges::find(spec.stop_exit_codes, how.status.code) != spec.stop_exit_codes.end();
    if (!spec.autorestart || final_code) {
        worker.state = stopped;
        return {worker, none};
    }
    const milliseconds window = spec.min_uptime * spec.max_restarts;
    if (how.since_created < window && how.uptime < spec.min_uptime) ++worker.unstable_restarts;
    if (worker.unstable_restarts >= spec.max_restarts) {
        worker.state = errored;
        worker.unstable_restarts = 0;
        return {worker, none};
    }
    const milliseconds delay = next_delay(worker, spec, how.uptime);
    if (delay > milliseconds{0}) {
        worker.state = waiting_restart;
        return {worker, wait_then_timer, delay};
    }
    worker.state = launching;
    count(worker, Count::restart);
    return {worker, spawn};
}

/// Nothing has run, so nothing counts as a quick exit.
Step after_postponed(Lifecycle worker, const ipc::AppSpec& spec)
{
    worker.state = spec.autorestart ? waiting_restart : errored;
    if (!spec.autorestart) return {worker, none};
    return {worker, wait_then_timer, kPostponed};
}

template <class Enum, std::size_t Size>
std::string_view look_up(const std::pair<Enum, std::string_view> (&names)[Size], Enum value)
{
    const auto* const found =
        std::ranges::find(names, value, &std::pair<Enum, std::string_view>::first);
    CLUSTER_CHECK(found != std::end(names), "an enumerator without a name");
    return found->second;
}

} // namespace

Step step(const Lifecycle& now, Event event, const ipc::AppSpec& spec, const Gone& how)
{
    const auto* const rule = std::ranges::find_if(kRules, [&](const Rule& r) {
        return r.from == now.state && r.pending == now.after && r.on == event;
    });
    if (rule == std::end(kRules)) return {now, none};
    if (event == spawn_postponed) return after_postponed(now, spec);
    if (rule->effect == wait_then_timer) return after_exit(now, spec, how);

    Lifecycle next = now;
    next.state = rule->to;
    next.after = rule->after;
    count(next, rule->count);
    return {next, rule->effect, milliseconds{0}};
}

Lifecycle reset(Lifecycle now)
{
    now.restarts = 0;
    now.unstable_restarts = 0;
    now.previous_delay = milliseconds{0};
    return now;
}

std::string_view name_of(State state)
{
    return look_up(kStateNames, state);
}

std::string_view name_of(Event event)
{
    return look_up(kEventNames, event);
}

} // namespace cluster::supervisor
