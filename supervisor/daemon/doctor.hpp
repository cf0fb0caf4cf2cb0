// What must hold at any time of a daemon and its workers, checked against the kernel and the disk:
// for `clusterctl doctor`. Looks and changes nothing.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/daemon/settings.hpp"
#include "supervisor/daemon/state.hpp"
#include "supervisor/sys/take_back.hpp"

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

enum class Grade {
    ok,
    warning, ///< may bite, or is wanted like that
    problem, ///< is not as it must be
};
[[nodiscard]] std::string_view name_of(Grade grade);

struct Finding {
    Grade grade = Grade::ok;
    std::string check;    ///< what was looked at, in a word or two
    std::string what;     ///< a sentence
    std::string where{};  ///< file or process; "" nothing in particular
    std::string advice{}; ///< what to do about it; "" nothing
};
using Findings = std::vector<Finding>;

// `now` is the state as the daemon has it at the moment (state_text, parsed). Each adds what is
// wrong, or one finding that says that nothing is.

/// Each row's process lives and is the one that was started: pid and start time.
void check_processes(ipc::System& system, const SavedState& now, Findings& into);
/// No process of this home is in no row.
void check_strays(const SavedState& now, const std::vector<MarkedProcess>& marked, Findings& into);
/// No row runs twice: a leader of a session that carries the row's mark, that nobody of the row's
/// processes has made, and that runs what the row's own process runs.
void check_doubles(ipc::System& system, const SavedState& now,
                   const std::vector<MarkedProcess>& marked, Findings& into);
/// The guardian lives and holds all that a manager after us needs, and nothing else.
void check_guardian(ipc::System& system, const SavedState& now, pid_t guardian, Findings& into);
/// The file can be read and is what the daemon knows; `fault` is why its last write failed.
void check_state(ipc::System& system, const SavedState& now, const std::string& path,
                 const std::string& fault, Findings& into);
/// Each declared address has a live socket, and the workers that shall accept from it hold one.
void check_sockets(ipc::System& system, const SavedState& now, Findings& into);

/// The settings are as their file says, and whoever should listen does. `listen` is what is set.
void check_settings(const std::vector<std::string>& faults, const std::string& path,
                    const MetricsSettings& metrics, const std::string& metrics_fault,
                    Findings& into);

struct LogPath {
    std::string app;
    std::string path;
    bool in_use = false; ///< something is writing to it
};
void check_logs(ipc::System& system, const std::vector<LogPath>& logs, Findings& into);

} // namespace cluster::supervisor
