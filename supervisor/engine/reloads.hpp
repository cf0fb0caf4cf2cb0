// Reload as a transaction: per app one instance after the other, the new process first.
//
//   for each instance: start a successor beside it ──stable──▶ it takes the place in the table,
//   the old process is asked to stop (kill_signal, then SIGKILL after kill_timeout) ──gone──▶ next
//
// Stable: online, and alive for min_uptime. The first successor that does not get there ends the
// reload: it is removed, the old process and all instances not yet reached go on untouched, those
// already replaced stay replaced. One reload per app at a time. A stop, restart, delete or scale of
// the app cancels it at once in the same way.
#pragma once

#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// Two processes of this app can serve at the same time: they share a socket that is ours.
[[nodiscard]] bool can_overlap(const App& app);

class Reloads {
public:
    Reloads(Supervisor& supervisor, Waiting& waiting);

    /// A step that is through: worker and what happened to it ("ready", "drained").
    using OnStep = std::function<void(const Worker&, std::string_view phase)>;
    /// No failure: every instance was replaced.
    using OnDone = std::function<void(std::optional<WaitFailure>)>;

    [[nodiscard]] bool running(std::string_view app_name) const;
    /// Replaces the processes of `ids`, all of one app, by ones made from `app`. Not while one is
    /// running for this app.
    void start(const std::string& app_name, std::vector<int> ids, std::shared_ptr<const App> app,
               std::string cause, OnStep on_step, OnDone on_done);
    /// `cause` says who wants something else of the app now.
    void cancel(const std::string& app_name, const std::string& cause);
    void cancel_all(const std::string& cause);

private:
    struct Run {
        std::string name;
        std::deque<int> left; ///< ids; the front one is being replaced
        std::shared_ptr<const App> app;
        std::string cause;
        OnStep on_step;
        OnDone on_done;
        std::uint64_t successor = 0; ///< key of the row that is getting up; 0 none
    };
    using RunPtr = std::shared_ptr<Run>;

    void replace_next(const RunPtr& run);
    void successor_up(const RunPtr& run, WaitResult result);
    void drain(const RunPtr& run, Worker& old);
    void finish(const RunPtr& run, std::optional<WaitFailure> failure);
    [[nodiscard]] bool current(const RunPtr& run) const;

    Supervisor& supervisor_;
    Waiting& waiting_;
    std::map<std::string, RunPtr, std::less<>> runs_; ///< by the app's name
};

} // namespace cluster::supervisor
