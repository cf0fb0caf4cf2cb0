// Requests that are answered when something has happened to workers: each Wait knows which workers
// it is about and what is to become of them, follows their transitions, and finishes once, when all
// are there or have failed.
//
// A worker that declares how it gets ready is up when it is online. Any other one is up when it is
// online and has come to rest: all processes of its tree sleep and none has used CPU between two
// looks, or it has lived for min_uptime. So `start` answers at once for a healthy app, and a
// program that dies while it starts is told as a failure instead of a success.
#pragma once

#include "supervisor/engine/supervisor.hpp"

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::supervisor {

enum class Goal {
    up,     ///< online and at rest
    stable, ///< online for the soak time of the app's reloads
    down,   ///< stopped
    gone,   ///< removed from the table
};

struct WaitFailure {
    int id;
    std::string name;
    std::string stage; ///< "launch", "ready", "exit", "stop", "order", "cancelled", "aborted"
    std::string reason;
    std::optional<ipc::ExitStatus> status;
    std::vector<std::string> errors; ///< last lines on stderr
};

struct WaitResult {
    std::vector<int> ids;
    std::vector<WaitFailure> failures;
};

/// How far a wait is: called for each worker that is there.
struct WaitProgress {
    int done;
    int total;
    int id;
    std::string name;
    std::string status;
    bool failed;
};

class Waiting {
public:
    explicit Waiting(Supervisor& supervisor, boost::asio::io_context& loop);

    using OnProgress = std::function<void(const WaitProgress&)>;
    using OnDone = std::function<void(WaitResult)>;

    /// Must be called before the workers are asked, so that no transition is missed; `begin` ends
    /// the preparation and answers at once what is there already.
    class Wait;
    Wait& prepare(OnProgress on_progress, OnDone on_done);
    void add(Wait& wait, const Worker& worker, Goal goal);
    void begin(Wait& wait);
    /// The worker is asked later: what it is until then says nothing.
    void postpone(const Worker& worker);
    /// Nothing will be asked of the worker: every wait for it fails.
    void give_up(const Worker& worker, const std::string& stage, const std::string& reason);
    [[nodiscard]] WaitFailure failure_of(const Worker& worker, std::string stage);

    /// Fed by the daemon's one observer.
    void on_transition(const Worker& worker, Event event);
    void on_removed(const Worker& worker);

private:
    struct Entry {
        Goal goal = Goal::up;
        int id = 0;
        std::string name;
        bool done = false;
        bool launched = false;      ///< since the wait began
        bool postponed = false;     ///< is asked later
        std::uint64_t cpu_seen = 0; ///< of the last look; 0 no look yet
    };

    void evaluate(Wait& wait, const Worker& worker, Entry& entry, std::optional<Event> event);
    void finish_entry(Wait& wait, std::uint64_t key, Entry& entry,
                      std::optional<WaitFailure> failure);
    void finish_ready_waits();
    void look_later();
    void look();
    bool at_rest(const Worker& worker, Entry& entry);

    Supervisor& supervisor_;
    boost::asio::steady_timer look_timer_;
    bool look_armed_ = false;
    std::list<Wait> waits_;
};

class Waiting::Wait {
    friend class Waiting;
    OnProgress on_progress;
    OnDone on_done;
    std::map<std::uint64_t, Entry> entries; ///< by the worker's key
    std::vector<WaitFailure> failures;
    int open = 0;
    bool begun = false;
};

} // namespace cluster::supervisor
