// Reload as a transaction: the plan is core/rollout.hpp, this carries it out.
//
//   for each slot: start a successor beside the worker ──ready and soaked──▶ it takes the place in
//   the table, the old process takes no more connections, finishes what it has (drain_timeout), is
//   asked to stop and killed after kill_timeout ──gone──▶ the slot is done
//
// The first successor that does not get there ends the reload: all that have not taken a place are
// removed, the processes not yet replaced go on untouched. Slots that were replaced already go
// back, in the same way, to what was declared before, if that was something else.
//
// One reload per app at a time; another one waits for its turn, unless it is not to be queued. A
// stop, restart, delete, start or scale of the app ends the one under way, and those that wait.
#pragma once

#include "supervisor/core/rollout.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// Two processes of this app can serve at the same time: they share a socket that is ours.
[[nodiscard]] bool can_overlap(const App& app);

/// A step of one slot, for whoever looks on.
struct ReloadStep {
    std::string_view phase;  ///< "starting", "ready", "draining", "stopping", "done", "failed"
    milliseconds elapsed{0}; ///< since the reload began
    std::string note;        ///< "12 connections closed"; often ""
};

class Reloads {
public:
    Reloads(Supervisor& supervisor, Waiting& waiting, boost::asio::io_context& loop);

    using OnStep = std::function<void(const Worker&, const ReloadStep&)>;
    /// No failure: every worker was replaced.
    using OnDone = std::function<void(std::optional<WaitFailure>)>;

    struct Order {
        std::string name;     ///< of the app
        std::vector<int> ids; ///< workers to be replaced
        std::shared_ptr<const App>
            app; ///< what the new processes are made from; null: each as it is
        std::string cause;
        OnStep on_step;
        OnDone on_done;
        std::uint64_t key = 0;  ///< of the one worker that is meant; 0: whoever has the id by then
        bool goes_back = false; ///< after one that failed, and counted with it
    };

    /// What is under way or waits, as orders for what is left to be done.
    [[nodiscard]] std::vector<Order> orders() const;
    /// Of their apps.
    [[nodiscard]] std::set<std::string> names() const;
    [[nodiscard]] bool any() const { return !runs_.empty() || !queued_.empty(); }

    /// A reload of the app is under way, or waits for its turn.
    [[nodiscard]] bool running(std::string_view app_name) const;
    /// How the reloads of each app have ended since this daemon came up.
    struct Tally {
        std::uint64_t done = 0;      ///< every worker was replaced
        std::uint64_t failed = 0;    ///< a new process did not get there, or it was aborted
        std::uint64_t cancelled = 0; ///< something else was wanted of the app
    };
    [[nodiscard]] const std::map<std::string, Tally>& tallies() const { return tallies_; }

    /// Begins at once, or when the one under way is through.
    void start(Order order);
    /// `cause` says who wants something else of the app now. What has been replaced stays so.
    void cancel(const std::string& app_name, const std::string& cause);
    void cancel_all(const std::string& cause);
    /// As a failure of the next successor would end it. False when there is none.
    bool abort(const std::string& app_name, const std::string& cause);

    /// One worker, new before old where that can be: a memory limit, a schedule. Those of one app
    /// go one after the other, with a little chance in between, so that instances that grow alike
    /// do not end alike.
    void recycle(const Worker& worker, const std::string& cause);

    /// Fed by the daemon's one observer.
    void on_transition(const Worker& worker, Event event);

private:
    struct Slot {
        int id = 0;
        std::uint64_t successor = 0; ///< key of the row that is getting up or stands by; 0 none
        std::uint64_t old = 0;       ///< key of the row whose place has been taken; 0 none
        std::shared_ptr<const App> before; ///< what the worker was made from
    };
    struct Run {
        Order order;
        Rollout rollout;
        Handover handover = Handover::in_place;
        std::vector<Slot> slots;
        ListenSockets next;                           ///< of the generation that is coming in
        std::map<std::uint64_t, std::size_t> leaving; ///< key of an old process → its slot
        milliseconds began{0};
    };
    using RunPtr = std::shared_ptr<Run>;

    void begin(Order order);
    void advance(const RunPtr& run);
    void go_live(const Run& run);
    void start_slot(const RunPtr& run, std::size_t at);
    void replace_in_place(const RunPtr& run, std::size_t at);
    void go_back(Worker& worker, const Run& run, std::size_t at);
    void slot_done(const RunPtr& run, std::size_t at);
    void successor_up(const RunPtr& run, std::size_t at, WaitResult result);
    void take_over(const RunPtr& run, std::size_t at);
    void retire(const RunPtr& run, std::size_t at);
    void fail(const RunPtr& run, WaitFailure failure);
    bool roll_back(const RunPtr& run, const WaitFailure& failure);
    void remove_successors(Run& run, const std::string& cause);
    void finish(const RunPtr& run, std::optional<WaitFailure> failure);
    void begin_next(const std::string& app_name);
    void tell(const Run& run, const Worker& worker, std::string_view phase, std::string note = {});
    [[nodiscard]] Handover handover_of(const std::string& name, const App& app,
                                       std::size_t slots) const;
    [[nodiscard]] bool current(const RunPtr& run) const;

    Supervisor& supervisor_;
    Waiting& waiting_;
    boost::asio::io_context& loop_;
    std::map<std::string, RunPtr, std::less<>> runs_; ///< by the app's name
    std::map<std::string, std::deque<Order>, std::less<>> queued_;
    std::set<std::uint64_t> recycling_; ///< keys of the workers that are on the list already
    std::minstd_rand chance_;
    std::map<std::string, Tally> tallies_; ///< by the app's name
};

} // namespace cluster::supervisor
