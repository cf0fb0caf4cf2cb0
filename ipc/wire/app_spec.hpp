// What a user declares of one app, checked and with every default filled in. Made by
// `parse_app` (attributes.hpp) from an ecosystem file or a request, turned back into JSON by
// `to_json`; the daemon shares one immutable AppSpec among all workers of the app.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cluster::ipc {

using std::chrono::milliseconds;
using Environment = std::map<std::string, std::string>; ///< variable → value

enum class ExecMode { fork, cluster };

/// How many workers: a plain count, or relative to the CPUs that the daemon may use
/// (affinity and cgroup quota). `{.relative = true, .count = 0}` is "max" and PM2's 0;
/// `{.relative = true, .count = -1}` is all but one.
struct Instances {
    bool relative = false;
    int count = 1;
    bool operator==(const Instances&) const = default;
};

/// One listening address, opened by the daemon and handed to each worker (man 3 sd_listen_fds).
struct ListenAddress {
    std::string text; ///< as written: "3001", "127.0.0.1:3001", "[::]:80", "unix:/run/x.sock"
    std::string name; ///< LISTEN_FDNAMES entry; by default the text without ':'
    std::optional<int> backlog{};   ///< man 2 listen; the system's limit when absent
    std::optional<unsigned> mode{}; ///< permission bits of a unix socket
    std::string owner{};            ///< of a unix socket: "user", "user:group"; "" the daemon's own
    bool reuse_port = false;        ///< other programs of the user may bind the address too
    std::optional<bool> ipv6_only{}; ///< absent: a port alone takes IPv4 too, "[::]:80" does not
    bool nodelay = false;            ///< TCP_NODELAY for all connections from the start
    bool operator==(const ListenAddress&) const = default;
};

/// How new connections come to the workers of an app that declares `listen`.
enum class Balance {
    shared,    ///< one socket, whoever is free takes the next connection
    reuseport, ///< one socket per worker, chosen evenly by the kernel
};

/// A question about one worker that needs no code in the app.
struct Probe {
    enum class Kind { http, tcp, exec, log };
    Kind kind = Kind::http;
    std::string path = "/";           ///< of http
    std::vector<int> status;          ///< of http: the codes that are good; empty: 200 to 399
    std::optional<int> port;          ///< of http and tcp: absent, the worker's own
    std::vector<std::string> command; ///< of exec: program and arguments; exit code 0 is good
    std::string pattern;              ///< of log: an ECMAScript expression for a line of output
    milliseconds interval{0};         ///< from one question to the next
    milliseconds timeout{0};          ///< for one answer
    int failures = 1;                 ///< of `health`: so many in a row are a restart
    milliseconds start_period{0};     ///< of `health`: failures do not count so long after start
    bool operator==(const Probe&) const = default;
};
[[nodiscard]] Probe ready_defaults();
[[nodiscard]] Probe health_defaults();

/// What an app waits for of another before it is started.
enum class Condition {
    started,   ///< its processes run
    ready,     ///< all of its workers are online
    completed, ///< all of its workers have ended with exit code 0
};

/// A number of workers, or a percentage of those that the app has.
struct Share {
    int count = 0;
    bool percent = false;
    bool operator==(const Share&) const = default;
};

/// How a reload goes through the workers of an app.
struct ReloadPolicy {
    std::optional<Share> max_surge;   ///< absent: as the way of sharing the socket asks for
    Share max_unavailable;            ///< how many may be missing meanwhile
    std::optional<milliseconds> soak; ///< a new worker must live so long once ready; min_uptime
    bool operator==(const ReloadPolicy&) const = default;
};

enum class Compression { none, zstd, gzip };

/// When a log file is set aside for a new one, and what becomes of those set aside.
struct Rotation {
    enum class Calendar { none, hourly, daily, weekly };
    bool on = true;
    std::uint64_t size = std::uint64_t{100} << 20U; ///< bytes; 0 never for its size
    Calendar calendar = Calendar::none; ///< at the full hour, at midnight, on Monday; local time
    milliseconds period{0};             ///< instead: at multiples of this since 1970; 0 none
    int keep = 10;                      ///< files set aside, of one log file
    Compression compress = Compression::zstd;
    bool operator==(const Rotation&) const = default;

    [[nodiscard]] bool by_time() const
    {
        return on && (calendar != Calendar::none || period.count() > 0);
    }
};

/// What a line in a log file looks like.
enum class LogType {
    raw,  ///< as the worker wrote it, perhaps with a date before it
    json, ///< an object
};

/// What becomes of output while its file cannot be written.
enum class LogOnFull {
    drop,  ///< it is lost and counted
    block, ///< it stays in the pipe; a worker that writes more than that takes waits
    spill, ///< it goes to $CLUSTER_HOME/spill until the file can be written again
};

/// man 2 getrlimit. kNoLimit is RLIM_INFINITY.
struct Rlimit {
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
    bool operator==(const Rlimit&) const = default;
};
inline constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): one per app, in the document's order
struct AppSpec {
    // What runs.
    std::string name;
    std::string name_space = "default"; ///< attribute `namespace`
    std::string script;                 ///< absolute path once resolved, or a word found in PATH
    std::vector<std::string> args;
    std::string interpreter; ///< absolute path once resolved; "none" runs the script itself
    std::vector<std::string> interpreter_args; ///< before the script; PM2's `node_args`
    std::string cwd;                           ///< absolute once resolved
    ExecMode exec_mode = ExecMode::fork;
    bool exec_mode_given = false;       ///< false: the CLI may choose `cluster` by PM2's rule
    std::optional<Instances> instances; ///< absent: 1, and log files without a suffix (PM2)
    std::string increment_var;          ///< variable counted up by one per instance; "" none
    std::string instance_var = "NODE_APP_INSTANCE";
    Environment env;                     ///< laid over the caller's environment; `port` and
                                         ///< the chosen `env_<name>` are merged in already
    std::vector<std::string> filter_env; ///< drop inherited variables whose name contains one
    bool inherit_env = true;             ///< false: `filter_env: true`, nothing is inherited
    std::vector<ListenAddress> listen;
    Balance balance = Balance::shared;
    std::map<std::string, Condition> depends_on; ///< app's name → what of it

    // As whom.
    std::string uid; ///< user name or number; "" the daemon's own
    std::string gid; ///< group name or number; "" the user's own
    std::optional<unsigned> umask;

    // What it may take.
    std::uint64_t memory_high = 0;         ///< bytes of the whole tree; slowed down above; 0 none
    std::uint64_t memory_max = 0;          ///< bytes of the whole tree; killed above; 0 no limit
    int cpu_max = 0;                       ///< thousandths of a CPU, whole tree; 0 no limit
    int pids_max = 0;                      ///< processes and threads of the tree; 0 no limit
    std::map<std::string, Rlimit> rlimits; ///< by the names of man 5 limits.conf, such as "nofile"
    std::optional<int> nice;               ///< absent: the daemon's own
    std::optional<int> oom_score_adj;      ///< absent: the daemon's own
    bool no_new_privileges = false;

    // Its life.
    bool autostart = true;
    bool autorestart = true;
    int max_restarts = 16;
    milliseconds min_uptime{1000};
    milliseconds restart_delay{0};
    milliseconds exp_backoff_restart_delay{0}; ///< first delay; 0 no back-off
    std::vector<int> stop_exit_codes;
    int kill_signal = 2; ///< SIGINT
    milliseconds kill_timeout{5000};
    bool treekill = true;
    std::uint64_t max_memory_restart = 0; ///< bytes of the whole tree; 0 no limit
    std::string cron_restart;             ///< as parse_cron reads it; "" never

    // Whether it serves.
    bool wait_ready = false; ///< online once it says so: process.send('ready') or READY=1
    std::optional<milliseconds> listen_timeout; ///< for getting ready; see `ready_limit`
    std::optional<Probe> ready;                 ///< online once it answers well
    std::optional<Probe> health;                ///< restarted when it does not
    milliseconds watchdog{0}; ///< restarted when WATCHDOG=1 stays out for so long; 0 none

    // Leaving.
    bool shutdown_with_message = false; ///< Node: asked by the message "shutdown", not by a signal
    milliseconds drain_timeout{10'000}; ///< for requests in flight when it leaves
    ReloadPolicy reload;

    // Its files; "" is the default below $CLUSTER_HOME. Absolute once resolved.
    std::string out_file;                ///< "/dev/null" keeps nothing
    std::string error_file;              ///< as out_file
    std::optional<std::string> log_file; ///< one more for both streams; "" logs/<name>.log
    std::string log_date_format;         ///< dayjs's tokens, of the date before each line; "" none
    LogType log_type = LogType::raw;
    LogOnFull log_on_full = LogOnFull::drop;
    std::vector<std::string> log_sinks; ///< each as parse_sink reads it
    std::string pid_file;
    std::optional<bool> merge_logs; ///< absent: true exactly when `instances` is absent (PM2)
    Rotation rotate;                ///< of each of its log files

    /// Attributes of PM2 that were given, would matter and have no effect here; for `describe`.
    std::vector<std::string> unsupported;

    bool operator==(const AppSpec&) const = default;

    /// Online only after it has been seen or heard to serve.
    [[nodiscard]] bool declares_readiness() const { return wait_ready || ready; }
    /// PM2's 3 s for an app that speaks up, more for one that is asked.
    [[nodiscard]] milliseconds ready_limit() const
    {
        return listen_timeout.value_or(milliseconds{ready ? 30'000 : 3'000});
    }
    /// It wants what only a cgroup, or looking every second, can give.
    [[nodiscard]] bool limits_its_tree() const
    {
        return memory_high > 0 || memory_max > 0 || cpu_max > 0 || pids_max > 0;
    }
    [[nodiscard]] bool merged_logs() const { return merge_logs.value_or(!instances); }
};

} // namespace cluster::ipc
