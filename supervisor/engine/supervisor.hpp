// Carries out what `core` decides: turns kernel facts and requests into lifecycle events and the
// effects of each step into system calls. One thread; every public method is called on the loop.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/home.hpp"
#include "ipc/base/system.hpp"
#include "supervisor/core/instances.hpp"
#include "supervisor/engine/adoption.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/engine/log_pump.hpp"
#include "supervisor/engine/log_shipping.hpp"
#include "supervisor/engine/loop_relief.hpp"
#include "supervisor/engine/recorder.hpp"
#include "supervisor/engine/relieved_files.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/cgroups.hpp"
#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/launcher.hpp"
#include "supervisor/sys/process_table.hpp"
#include "supervisor/sys/sampler.hpp"

#include <boost/asio/io_context.hpp>

#include <unistd.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// Everything from outside, built by `main` (or by a test).
struct Surroundings {
    boost::asio::io_context& loop;
    ipc::System& system;
    Launcher& launcher;
    Keeper& keeper; ///< has a duplicate of what must outlive us
    const ipc::Clock& clock;
    Log& log;
    ipc::HomePaths paths;
    std::vector<pid_t> reapers;   ///< who inherits orphans: the guardian
    bool own_cgroup = false;      ///< see Cgroups::Place
    LoopRelief* relief = nullptr; ///< for calls about logs that do not come back; null: they hold
                                  ///< the loop
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
    /// By key: rows of a reload too, which are in nobody's list.
    [[nodiscard]] Worker* find_row(std::uint64_t key);
    /// Every row, also those that a reload starts or drains.
    [[nodiscard]] std::vector<Worker*> rows() const;
    /// In the table, not a hidden half of a reload.
    [[nodiscard]] bool is_shown(const Worker& worker) const
    {
        return !hidden_.contains(worker.key);
    }
    /// Ids of the workers of one app, in order of their instance number.
    [[nodiscard]] std::vector<int> of_app(std::string_view name) const;

    /// Opens the sockets that the specification declares, or shares them where they are open.
    ipc::Result<std::shared_ptr<const App>>
    declare(ipc::AppSpec spec, std::shared_ptr<const ipc::Environment> inherited);

    /// Without its sockets, which are opened when a worker of it is launched.
    std::shared_ptr<const App> declare_closed(ipc::AppSpec spec,
                                              std::shared_ptr<const ipc::Environment> inherited);

    // What a daemon before us had, in this order: its listeners, apps (`declare`), rows
    // (`adopt`), and then what all of them were doing (`resume`).
    void adopt_listener(const ipc::ListenAddress& address, const KnownListener& known,
                        KeptFds& kept);
    /// The sockets of an app in Node's cluster mode.
    void adopt_node_handles(const std::string& app, const nlohmann::json& saved, KeptFds& kept);
    /// The row as it was, and its process where that still lives. `process`: found by other means
    /// than the record, which knows of none.
    Worker& adopt(KnownWorker known, std::shared_ptr<const App> app, KeptFds& kept,
                  const std::optional<ProcessStat>& process);
    /// Goes on with all that was under way. How a process has ended that is not our child is told
    /// within this time, or by nobody.
    void resume(milliseconds told_within);
    /// How a process has ended that is not our child.
    void on_ended(pid_t pid, std::uint64_t start_time, const ipc::ExitStatus& status);
    void record_to(Recorder& recorder) { recorder_ = &recorder; }

    /// A new row, stopped. `id` -1 takes the next free one.
    Worker& add(std::shared_ptr<const App> app, int instance, int id = -1);
    /// A hidden row beside `worker` with the same id and instance number: the new half of a reload.
    Worker& add_successor(const Worker& worker, std::shared_ptr<const App> app);
    /// The successor takes its place in the table; the old row is hidden from now on. Answers it.
    Worker& promote(Worker& successor);
    /// The successor came to nothing: the row in the table has its pid file again.
    void abandon(Worker& successor, std::string cause);
    /// What the next process of the worker is made from.
    void change(Worker& worker, std::shared_ptr<const App> app);
    /// Start, stop, restart, delete. `cause` says who asked, for events and `describe`. An end
    /// `at_once` is also the end of a drain under way.
    void ask(Worker& worker, Event event, std::string cause, Leave leave = Leave::at_once);
    /// The time of one that is asked to end is over: SIGKILL now.
    void hurry(Worker& worker);
    /// Counters back to zero (`clusterctl reset`).
    void reset(Worker& worker);
    /// What its app depends on is not there yet; "" nothing is waited for.
    void hold_back(Worker& worker, std::string why);
    /// To the worker's own process only.
    ipc::Result<void> signal(Worker& worker, int signal);

    /// Sockets beside those of the app's workers, for all workers of the next generation, that get
    /// no connections until `go_live`; from then on they get all of them.
    ipc::Result<ListenSockets> next_generation(const App& app);
    void go_live(const App& app, const ListenSockets& sockets);
    /// Closes sockets that no worker has any more.
    void tidy_listeners();
    /// Where it answers: "127.0.0.1:3001".
    [[nodiscard]] std::vector<std::string> addresses(const Worker& worker) const;
    /// Above its memory limit: who replaces it. None: it is restarted in place.
    using Recycler = std::function<bool(const Worker&, const std::string& cause)>;
    void set_recycler(Recycler recycler) { recycler_ = std::move(recycler); }

    /// Figures of its tree, sampled now unless the last sample is fresh.
    Usage usage(const Worker& worker);
    /// CPU time of its tree as of the last sample, over all its processes: never less than before.
    [[nodiscard]] static double cpu_time(const Worker& worker);
    /// Pids of its live tree, its own process first; empty when that has gone.
    [[nodiscard]] std::vector<pid_t> tree(const Worker& worker);
    /// Who sees to each limit that the app of the worker declares.
    struct Limit {
        std::string_view attribute;
        std::string by; ///< "cgroup v2", "a look every second", "nobody: …"
    };
    [[nodiscard]] std::vector<Limit> limits(const Worker& worker);
    ipc::Environment environment_of(const Worker& worker) const;
    [[nodiscard]] std::vector<std::string> last_errors(const Worker& worker);

    /// A call about a file does not come back; see LoopRelief.
    void on_held(const HeldCall& call);

    LogPump& logs() { return logs_; }
    LogShipping& shipping() { return shipping_; }
    LogRotation& rotation() { return rotation_; }
    /// Those of one worker, each once; and of all workers, as the rotation wants them.
    [[nodiscard]] static std::vector<std::string> log_paths(const Worker& worker);
    [[nodiscard]] std::vector<LogFile> log_files() const;
    const LogPump& logs() const { return logs_; }
    const ipc::Clock& clock() const { return around_.clock; }
    ipc::System& system() const { return around_.system; }
    [[nodiscard]] const std::string& home() const { return around_.paths.home; }
    [[nodiscard]] int cpus() const { return cpus_; }
    /// Exits, kills or launches are waiting for their turn.
    [[nodiscard]] bool busy() const { return !chores_.empty(); }
    [[nodiscard]] int next_id() const { return next_id_; }
    void set_next_id(int id) { next_id_ = id; }
    [[nodiscard]] std::vector<std::shared_ptr<const Listener>> listeners() const;
    [[nodiscard]] const std::string& boot_id() const { return boot_id_; }
    [[nodiscard]] const std::map<std::string, std::weak_ptr<NodeHandles>>& node_handles() const
    {
        return node_handles_;
    }
    /// The guardian is gone: orphans come to us now.
    void set_reapers(std::vector<pid_t> reapers) { around_.reapers = std::move(reapers); }

    void observe(Observer observer, OnRemoved removed);

private:
    /// Something to be done for a worker in a turn of the loop of its own.
    struct Chore {
        enum class What { spawn, exit, settle, kill };
        std::uint64_t key;
        unsigned generation;
        What what;
    };

    void fill_in(App& app, ipc::AppSpec spec, std::shared_ptr<const ipc::Environment> inherited);

    // Transitions (supervisor.cpp).
    void happen(Worker& worker, Event event, const Gone& gone = {});
    void perform(Worker& worker, const Step& step);
    void arm(Worker& worker, milliseconds delay);
    void arm_until(Worker& worker, milliseconds due);
    void remove(Worker& worker);
    Worker& prepare_row(Worker& worker, int instance);
    void leave_app(const Worker& worker);

    // Going on where another daemon was (adopting.cpp).
    void find_process(Worker& worker, const std::optional<ProcessStat>& process);
    void resume(Worker& worker);
    void resume_stop(Worker& worker);
    void resume_serving(Worker& worker);
    void adopt_node(Worker& worker, const nlohmann::json& saved, KeptFds& kept);
    void adopt_serving(Worker& worker, const nlohmann::json& saved, KeptFds& kept);
    /// How the worker's process has ended; empty: not known yet.
    std::optional<ipc::ExitStatus> exit_status(Worker& worker);

    // Starting (spawning.cpp).
    void do_soon(const Worker& worker, Chore::What what);
    void do_one_chore();
    void spawn(Worker& worker);
    ipc::Result<void> prepare_streams(Worker& worker, const std::optional<Identity>& identity);
    LaunchPlan plan_launch(const Worker& worker, const std::optional<Identity>& identity);
    void spawn_failed(Worker& worker, const ipc::Error& why);
    void spawn_failed(Worker& worker, std::string why, const std::error_code& code);
    void write_pid_file(const Worker& worker);
    void remove_pid_file(const Worker& worker);
    void name_files(Worker& worker);
    WorkerIdentity identity_of(const Worker& worker) const;

    // Listening and serving (doors.cpp).
    ipc::Result<void> take_sockets(Worker& worker);
    void set_live(Worker& worker, bool live);
    ipc::Result<void> prepare_serving(Worker& worker, LaunchPlan& plan,
                                      const std::optional<Identity>& identity);
    void start_serving(Worker& worker, const std::optional<Identity>& identity);
    std::unique_ptr<Serving> make_serving(const Worker& worker);
    void read_output(Worker& worker);
    void stop_serving(Worker& worker);
    ProbeMeans means_of(const Worker& worker, const std::optional<ipc::Probe>& probe,
                        const std::optional<Identity>& identity);
    Dial dial_of(const Worker& worker, const ipc::Probe& probe);
    void on_sick(Worker& worker, const std::string& why);
    /// A call for the process that the worker has now; void once it has another one.
    std::function<void()> for_process(const Worker& worker, std::function<void(Worker&)> what);

    // Leaving (leaving.cpp).
    bool begin_drain(Worker& worker);
    enum class Then { wait, stop };
    void watch_connections(Worker& worker, OutsideDrain::Job job, Then then);
    void end_drain(Worker& worker);

    // Node's cluster mode (node_workers.cpp).
    /// Adds the channel to the plan; the worker's end comes back, to be kept until the launch.
    ipc::Result<ipc::UniqueFd> open_node_channel(Worker& worker, LaunchPlan& plan,
                                                 const std::optional<Identity>& identity);
    /// True when the worker finishes what it has in hand first, and is sent kill_signal then.
    bool drain_node(Worker& worker);
    NodeOpener node_opener(const Worker& worker, const std::optional<Identity>& identity) const;
    NodeEvents node_events(const Worker& worker);
    void join_node_cluster(Worker& worker);
    std::function<void()> node_handles_changed();
    void leave_node_cluster(Worker& worker);

    // Ending (ending.cpp).
    void stop_soon(const Worker& worker);
    void begin_stops();
    void begin_stop(Worker& worker);
    void end_gracefully(Worker& worker);
    void ask_to_end(Worker& worker);
    void kill_tree(Worker& worker);
    void on_exit(Worker& worker);
    void record_exit(Worker& worker, const ipc::ExitStatus& status);
    void count_last_ticks(Worker& worker);
    void settle_exit(Worker& worker, bool look);
    bool may_leave_something(const Worker& worker);
    [[nodiscard]] bool seen_since_its_end(const Worker& worker) const;
    void sweep_later(Worker& worker);
    std::vector<ProcessStat> members(Worker& worker);
    void learn_start_time(Worker& worker);
    void signal_all(const std::vector<ProcessStat>& processes, int signal);
    void read_processes();
    std::vector<ProcessStat> tree_of(const Worker& worker);
    /// Some of its tree does, as seen now.
    bool lives_on(Worker& worker);

    // Limits (limits.cpp).
    /// Its groups, made and open to be entered; none where nothing asks for one.
    ipc::Result<std::vector<ipc::UniqueFd>> open_groups(Worker& worker);
    void leave_groups(Worker& worker);
    /// What the kernel did to it for its limits, as part of a sentence; "" nothing.
    std::string limits_hit(const Worker& worker);
    /// Of its tree, but not below its process: orphans.
    std::vector<pid_t> strays(const Worker& worker);
    [[nodiscard]] bool limited_by_looking(const ipc::AppSpec& spec);
    /// `cpu_max` rounded up: what an affinity can hold it to.
    static std::size_t whole_cpus(const ipc::AppSpec& spec);
    void watch_limits();
    void check_limits();
    bool check_tree(Worker& worker);
    bool slow_down(Worker& worker, int share);
    void press(Worker& worker, std::uint64_t memory);

    Surroundings around_;
    RelievedFiles files_;
    LogRotation rotation_;
    LogPump logs_;
    LogShipping shipping_;
    Sampler sampler_;
    ReadWatch exits_; ///< by key
    Workers workers_;
    std::map<std::string, std::set<int>, std::less<>> ids_of_app_; ///< of `workers_`, by name
    std::map<std::uint64_t, std::unique_ptr<Worker>> hidden_;      ///< by key: halves of reloads
    std::map<std::uint64_t, Worker*> rows_;                        ///< all, by key
    std::uint64_t next_key_ = 1;
    std::map<std::string, std::weak_ptr<Listener>> listeners_; ///< by address as declared
    Recycler recycler_;
    NoRecorder nobody_;
    Recorder* recorder_ = &nobody_;
    std::uint64_t next_app_ = 1;
    std::vector<std::shared_ptr<Listener>> adopted_listeners_; ///< until all apps are declared
    std::vector<std::shared_ptr<NodeHandles>> adopted_handles_;
    milliseconds told_within_{0};
    std::map<std::pair<pid_t, std::uint64_t>, ipc::ExitStatus> ended_; ///< of adopted processes
    std::map<std::string, std::weak_ptr<NodeHandles>> node_handles_;   ///< by name of the app
    Observer observer_;
    OnRemoved removed_;
    std::vector<std::pair<std::uint64_t, unsigned>> stops_; ///< to begin: keys and generations
    std::deque<Chore> chores_;
    bool chore_posted_ = false;
    std::optional<Chore> draining_; ///< at its first part: a log may not answer
    ipc::UniqueFd null_;            ///< stdin of every worker
    std::string boot_id_;
    int next_id_ = 0;
    int cpus_ = 1;
    PidSet familiar_{::getpid()}; ///< processes that are nobody's orphans: ours and the workers'
    std::optional<ProcessForest> processes_; ///< all, as seen a moment ago
    std::uint64_t looks_ = 0;                ///< at all processes, so far
    boost::asio::steady_timer processes_timer_;
    Cgroups cgroups_;
    std::map<std::string, std::vector<pid_t>, std::less<>> orphans_; ///< by unique_id
    bool orphans_fresh_ = false; ///< one look serves all that is asked in one turn of the loop
    boost::asio::steady_timer limits_timer_;
    bool limits_watched_ = false;
};

} // namespace cluster::supervisor
