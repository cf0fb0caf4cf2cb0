// The state of a daemon as text: what is declared and wanted, and what runs. One JSON object, of
// which parts may follow as further lines (the journal, journal.hpp): a part has the same members,
// and what it says of an app, a row or a list of sockets replaces what was said before.
//
//   {"version", "readable_by", "boot_id", "written_at", "next_id", "log_stage",
//    "environments": [{"number", "values"}], "apps": [{"number", "spec", "environment"}],
//    "workers": [{"key", "id", "app", …}], "removed": [keys], "listeners": [{"address",
//    "sockets"}], "node": {app: sockets}, "reloads": […], "held": […], "ending": "kill"}
//
// A reader takes every version that says it is readable by it, ignores members that it does not
// know, and takes defaults for those that are missing. Version 1 had neither numbers nor anything
// about processes.
#pragma once

#include "supervisor/engine/adoption.hpp"
#include "supervisor/engine/ordering.hpp"
#include "supervisor/engine/reloads.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

inline constexpr int kStateVersion = 2;
/// The oldest reader that makes sense of what we write.
inline constexpr int kStateReadableBy = 2;

/// The daemon is on its way out.
enum class Ending {
    none,
    stop, ///< everything is stopped and stays wanted
    kill, ///< everything is stopped and forgotten
};

struct SavedApp {
    ipc::AppSpec spec;
    std::uint64_t environment = 0;
};
struct SavedWorker {
    KnownWorker known;
    std::uint64_t app = 0;
    bool wanted = true; ///< shall run
};
struct SavedReload {
    std::string name;
    std::vector<int> ids;
    std::uint64_t app = 0; ///< 0: each as it is
    std::string cause;
};
struct SavedState {
    int version = kStateVersion;
    std::string boot_id;
    std::uint64_t written_at =
        0; ///< ticks since boot: of the snapshot, on the scale of start times
    int next_id = 0;
    std::uint64_t log_stage = 0; ///< LogPump::stage_inode
    std::map<std::uint64_t, std::shared_ptr<const ipc::Environment>> environments;
    std::map<std::uint64_t, SavedApp> apps;
    std::map<std::uint64_t, SavedWorker> workers; ///< by key
    std::vector<KnownListener> listeners;
    nlohmann::json node = nlohmann::json::object();
    std::vector<SavedReload> reloads;
    std::vector<Ordering::Held> held;
    Ending ending = Ending::none;
};

/// Errors name what is wrong with the text. A last line without its newline is left out: whoever
/// wrote it was killed.
[[nodiscard]] std::expected<SavedState, std::string> parse_state(std::string_view text);

/// Numbers of environments, for as long as one text refers to them.
class EnvironmentNumbers {
public:
    /// And whether it is new.
    std::pair<std::uint64_t, bool> of(const std::shared_ptr<const ipc::Environment>& environment);

private:
    std::map<std::shared_ptr<const ipc::Environment>, std::uint64_t> numbers_;
};

/// What is under way beside the rows.
struct UnderWay {
    std::vector<Reloads::Order> reloads;
    std::vector<Ordering::Held> held;
    Ending ending = Ending::none;
};

/// The row shall run. An errored one was wanted: after a reboot it gets another chance.
[[nodiscard]] bool is_wanted(const Worker& worker);

/// Everything, as one line.
[[nodiscard]] std::string state_text(const Supervisor& supervisor, const UnderWay& under_way,
                                     EnvironmentNumbers& numbers);

/// What a part tells; empty ones are left out.
struct StateChange {
    std::vector<std::shared_ptr<const App>> apps; ///< that are new
    std::vector<const Worker*> rows;
    std::vector<std::uint64_t> removed;
    bool listeners = false;
    bool node = false;
    const UnderWay* under_way = nullptr;
};
[[nodiscard]] std::string change_text(const Supervisor& supervisor, const StateChange& change,
                                      EnvironmentNumbers& numbers);

} // namespace cluster::supervisor
