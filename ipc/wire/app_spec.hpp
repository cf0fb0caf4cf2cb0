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
    std::optional<int> backlog;   ///< man 2 listen; the system's limit when absent
    std::optional<unsigned> mode; ///< permission bits of a unix socket
    bool operator==(const ListenAddress&) const = default;
};

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

    // As whom.
    std::string uid; ///< user name or number; "" the daemon's own
    std::string gid; ///< group name or number; "" the user's own
    std::optional<unsigned> umask;

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

    // Its files; "" is the default below $CLUSTER_HOME. Absolute once resolved.
    std::string out_file;   ///< "/dev/null" keeps nothing
    std::string error_file; ///< as out_file
    std::string pid_file;
    std::optional<bool> merge_logs; ///< absent: true exactly when `instances` is absent (PM2)

    /// Attributes of PM2 that were given, would matter and have no effect here; for `describe`.
    std::vector<std::string> unsupported;

    bool operator==(const AppSpec&) const = default;

    [[nodiscard]] bool merged_logs() const { return merge_logs.value_or(!instances); }
};

} // namespace cluster::ipc
