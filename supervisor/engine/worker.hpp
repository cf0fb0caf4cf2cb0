// The table's rows: an App is what was declared (immutable, shared), a Worker is one running
// instance of it. Only the Supervisor changes a Worker.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/core/exit_reason.hpp"
#include "supervisor/core/lifecycle.hpp"
#include "supervisor/core/recent_count.hpp"
#include "supervisor/engine/listener.hpp"
#include "supervisor/engine/log_pump.hpp"
#include "supervisor/engine/log_shipping.hpp"
#include "supervisor/engine/node_cluster.hpp"
#include "supervisor/engine/outside_drain.hpp"
#include "supervisor/engine/read_watch.hpp"
#include "supervisor/engine/serving.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::supervisor {

using ipc::milliseconds;

struct App {
    std::uint64_t number = 0; ///< of this declaration alone: what the saved state calls it
    ipc::AppSpec spec;
    std::shared_ptr<const ipc::Environment>
        inherited; ///< the caller's, shared by all that it started
    std::vector<std::shared_ptr<Listener>> listeners; ///< in the order of `spec.listen`
    std::string version = "N/A";                      ///< of the nearest package.json
};

/// One end of a worker's process, newest first in Worker::exits.
struct ExitRecord {
    std::int64_t at_wall_ms = 0;
    ipc::ExitStatus status;
    milliseconds uptime{0};
    std::string reason;              ///< "exited with code 1 after 40 ms", "stop asked by …"
    std::vector<std::string> errors; ///< its last lines on stderr
};
inline constexpr std::size_t kExitsKept = 5;

/// How a worker is asked to end.
enum class Leave {
    at_once, ///< kill_signal now
    drained, ///< first it takes no more connections and finishes what it has, at most drain_timeout
};

/// What a manager that comes after us has to know of a worker: plain values, saved as they are
/// (supervisor/daemon/state.hpp). Times are monotonic where nothing else is said.
struct WorkerRecord {
    int id = 0;            ///< what users see; an old and a new process share it during a reload
    std::uint64_t key = 0; ///< of this row alone, never used again: what late events look up
    int instance = 0;
    std::string unique_id; ///< in the environment of its whole tree
    std::string user_home; ///< of `uid`, known since the first launch; "" the inherited one stays
    Lifecycle life;

    pid_t pid = 0;                ///< 0 when no process of it is alive or unreaped
    std::uint64_t start_time = 0; ///< clock ticks since boot: identity together with pid
    pid_t tree = 0;               ///< the pid whose tree must go; outlives `pid`
    milliseconds started_at{0};
    milliseconds online_at{0};
    milliseconds created_at{0}; ///< last deliberate start, restart or reset
    std::int64_t started_wall_ms = 0;
    std::int64_t created_wall_ms = 0;
    std::vector<std::string> groups; ///< folders of the cgroups that its tree is in
    bool tree_killed = false;        ///< SIGKILL was sent: what is left now is unkillable
    milliseconds kill_sent_at{0};
    milliseconds due_at{0};   ///< when the kill timeout or the restart delay under way is over
    std::string cause;        ///< who or what asked for the change under way
    std::string launch_fault; ///< why the last launch failed; "" it did not
    std::string waits_for;    ///< what its app depends on and is not there yet; "" nothing
    std::string unready;      ///< why it is not ready though its time is up; "" it is not up
    std::optional<ipc::ExitStatus> last_status;
    std::vector<ExitRecord> exits;
    ExitCounts exits_by{};        ///< all its ends since the row was made
    RecentCount recent_restarts;  ///< as `life.restarts` counts them
    std::uint64_t cpu_before = 0; ///< clock ticks of those of its tree that are gone
    std::uint64_t cpu_seen = 0;   ///< clock ticks of those that are there, at the last look
    std::uint64_t out_since = 0;  ///< size of the output file when this process started
    std::uint64_t err_since = 0;  ///< and of the error file
    bool incoming = false;        ///< of the generation that a reload brings in
    bool must_listen = false;     ///< Node: as its predecessor did, before it counts as ready
    Leave leave = Leave::at_once; ///< as it was asked last
    bool draining = false;        ///< stopping, and not told yet: it has something in hand
    bool told = false;            ///< stopping, and it has been told
};

struct Worker : WorkerRecord {
    Worker(boost::asio::io_context& loop, int number_of, std::shared_ptr<const App> declared)
        : app{std::move(declared)}, timer{loop}, sweep{loop}
    {
        id = number_of;
    }

    std::shared_ptr<const App> app;
    std::string out_path, err_path, pid_path;
    std::string log_path;    ///< of the file with both streams; "" none
    unsigned generation = 0; ///< counts processes; late events of an older one are dropped
    bool adopted = false;    ///< its process is not our child: somebody else waits for it
    milliseconds sweep_pause{0};
    std::string over_limit;       ///< why we have killed its tree; "" we have not
    std::optional<int> cpu_share; ///< see core/memory_pressure.hpp; empty: not set by us yet
    milliseconds ended_since{0};  ///< adopted: its end was seen, but not yet how; 0 it was not
    std::uint64_t looks_before_end = 0; ///< at all processes; a later one knows what it has left

    std::unique_ptr<Shipment> shipment; ///< of `out` and `err` to the sinks; null: it has none
    std::unique_ptr<LogStream> out, err;
    WatchedFd exit_watch;                      ///< the pidfd
    std::shared_ptr<NodeHandles> node_handles; ///< of its app in Node's cluster mode, until at rest
    std::unique_ptr<NodeMember> node;          ///< our end of the process's channel
    ListenSockets sockets;                     ///< what it accepts from, kept over its restarts
    ipc::UniqueFd probe_socket;          ///< one for our probes alone, where the others are shared
    Kept probe_kept;                     ///< `probe_socket`
    std::unique_ptr<Serving> serving;    ///< of this process; null: nothing is declared
    std::unique_ptr<OutsideDrain> drain; ///< while its connections are being closed
    std::string drain_note;              ///< what the drain has come to
    boost::asio::steady_timer timer;     ///< kill timeout or restart delay, by state
    boost::asio::steady_timer sweep;     ///< looks for what is left of the tree

    [[nodiscard]] const ipc::AppSpec& spec() const { return app->spec; }
    /// Where a stream of it goes, and how.
    [[nodiscard]] LogPlan log_plan(StreamKind kind) const;
    [[nodiscard]] bool alive() const { return pid != 0; }
    /// Nothing of it runs, and nothing will by itself.
    [[nodiscard]] bool at_rest() const
    {
        return life.state == State::stopped || life.state == State::errored;
    }
};

/// Of both streams together.
[[nodiscard]] LogFigures log_figures(const Worker& worker);

} // namespace cluster::supervisor
