// The desired state on disk ($CLUSTER_HOME/state.json): what a new daemon brings back after a crash
// or a reboot. Written whole, fsynced and renamed, by a thread of its own, so that a slow disk
// never stops the loop; the newest text wins.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/engine/log.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace cluster::supervisor {

/// Version of the file. A reader takes its own version only.
inline constexpr int kStateVersion = 1;

struct SavedWorker {
    int id = 0;
    std::size_t app = 0; ///< index into SavedState::apps
    int instance = 0;
    std::string unique_id;
    bool wanted = true; ///< shall run
    int restarts = 0;
};
struct SavedApp {
    ipc::AppSpec spec;
    std::shared_ptr<const ipc::Environment> inherited;
};
struct SavedState {
    std::vector<SavedApp> apps;
    std::vector<SavedWorker> workers;
};

[[nodiscard]] std::string state_text(const Supervisor& supervisor);
/// Errors name what is wrong with the text.
[[nodiscard]] std::expected<SavedState, std::string> parse_state(std::string_view text);

class Store {
public:
    Store(boost::asio::io_context& loop, ipc::System& system, Log& log, std::string path);
    ~Store();

    /// Empty when there is none. One that cannot be read is moved aside (`.bad`), never
    /// overwritten.
    std::optional<SavedState> load();
    /// Writes soon; a later text replaces one that waits.
    void save(std::string text);
    /// Waits until everything is on disk.
    void flush();

private:
    void write_next();
    void write(const std::string& text);

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Log& log_;
    std::string path_;
    std::optional<std::string> next_;
    std::thread writer_;
    bool writing_ = false;
};

} // namespace cluster::supervisor
