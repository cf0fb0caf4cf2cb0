// Carries out what `core` decides: turns kernel facts and requests into lifecycle events and the
// effects of each step into system calls. One thread; every public method is called on the loop.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/core/instances.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/engine/log_pump.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/launcher.hpp"
#include "supervisor/sys/process_table.hpp"
#include "supervisor/sys/sampler.hpp"

#include <boost/asio/io_context.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cluster::supervisor {

/// Everything from outside, built by `main` (or by a test).
struct Surroundings {
    boost::asio::io_context& loop;
    ipc::System& system;
    Launcher& launcher;
    const ipc::Clock& clock;
    Log& log;
    ipc::HomePaths paths;
    std::vector<pid_t> reapers; ///< who inherits orphans: the guardian
};

class Supervisor {
public:
    /// Called after each transition, before its effect is performed.
    using Observer = std::function<void(const Worker&, Event)>;
    /// Called when a worker is about to be forgotten.
    using OnRemoved = std::function<void(const Worker&)>;
    using Workers = std::map<int, std::unique_ptr<Worker>>;

    explicit Supervisor(Surroundings around);
    ~Supervisor();

    [[nodiscard]] const Workers& workers() const { return workers_; }
    [[nodiscard]] Worker* find(int id);
    /// Ids of the workers of one app, in order of their instance number.
    [[nodiscard]] std::vector<int> of_app(std::string_view name) const;

    /// Opens the sockets that the specification declares, or shares them where they are open.
    ipc::Result<std::shared_ptr<const App>>
    declare(ipc::AppSpec spec, std::shared_ptr<const ipc::Environment> inherited);

    /// A new row, stopped. `id` -1 takes the next free one.
    Worker& add(std::shared_ptr<const App> app, int instance, int id = -1,
                std::string unique_id = {});
    /// What the next process of the worker is made from.
    void change(Worker& worker, std::shared_ptr<const App> app);
    /// Start, stop, restart, delete. `cause` says who asked, for events and `describe`.
    void ask(Worker& worker, Event event, std::string cause);
    /// Counters back to zero (`clusterctl reset`).
    void reset(Worker& worker);
    /// To the worker's own process only.
    ipc::Result<void> signal(Worker& worker, int signal);

    /// Figures of its tree, sampled now unless the last sample is fresh.
    Usage usage(const Worker& worker);
    ipc::Environment environment_of(const Worker& worker) const;
    [[nodiscard]] std::vector<std::string> last_errors(const Worker& worker);

    LogPump& logs() { return logs_; }
    const ipc::Clock& clock() const { return around_.clock; }
    ipc::System& system() { return around_.system; }
    [[nodiscard]] int cpus() const { return cpus_; }
    [[nodiscard]] int next_id() const { return next_id_; }
    void set_next_id(int id) { next_id_ = id; }
    /// The guardian is gone: orphans come to us now.
    void set_reapers(std::vector<pid_t> reapers) { around_.reapers = std::move(reapers); }

    void observe(Observer observer, OnRemoved removed);

private:
    // Transitions (supervisor.cpp).
    void happen(Worker& worker, Event event, const Gone& gone = {});
    void perform(Worker& worker, const Step& step);
    void arm(Worker& worker, milliseconds delay);
    void remove(Worker& worker);

    // Starting (spawning.cpp).
    void spawn_soon(Worker& worker);
    void spawn_queued();
    void spawn(Worker& worker);
    ipc::Result<void> prepare_streams(Worker& worker, const std::optional<Identity>& identity);
    LaunchPlan plan_launch(const Worker& worker, const std::optional<Identity>& identity) const;
    void spawn_failed(Worker& worker, std::string why);
    void write_pid_file(const Worker& worker);
    void watch_exit(Worker& worker, ipc::UniqueFd pidfd);
    void name_files(Worker& worker);
    WorkerIdentity identity_of(const Worker& worker) const;

    // Ending (ending.cpp).
    void begin_stop(Worker& worker);
    void kill_tree(Worker& worker);
    void on_exit(Worker& worker);
    void record_exit(Worker& worker, const ipc::ExitStatus& status);
    void settle_exit(Worker& worker);
    void sweep_later(Worker& worker);
    std::vector<pid_t> familiar() const;
    std::vector<ProcessStat> members(const Worker& worker);
    void signal_all(const std::vector<ProcessStat>& processes, int signal);
    const std::vector<ProcessStat>& process_table();

    // Limits (limits.cpp).
    void watch_memory();
    void check_memory();

    Surroundings around_;
    LogPump logs_;
    Sampler sampler_;
    Workers workers_;
    std::map<std::string, std::weak_ptr<Listener>> listeners_;
    Observer observer_;
    OnRemoved removed_;
    std::deque<int> spawn_queue_; ///< ids; a few are spawned each turn, so that clients never wait
    bool spawn_posted_ = false;
    ipc::UniqueFd null_; ///< stdin of every worker
    int next_id_ = 0;
    int cpus_ = 1;
    std::vector<ProcessStat> table_; ///< one pass serves all that is asked in one turn of the loop
    bool table_fresh_ = false;
    boost::asio::steady_timer memory_timer_;
    bool memory_watched_ = false;
};

} // namespace cluster::supervisor
