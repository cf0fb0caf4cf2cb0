// The state on disk ($CLUSTER_HOME/state.json): what a daemon brings back when no manager before it
// has handed anything over, after a reboot or when both daemons were killed. Written whole, fsynced
// and renamed, by a thread of its own, so that a slow disk never stops the loop; the newest text
// wins. The file before it stays as `.bak`.
#pragma once

#include "ipc/base/system.hpp"
#include "supervisor/daemon/state.hpp"
#include "supervisor/engine/log.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace cluster::supervisor {

class Store {
public:
    Store(boost::asio::io_context& loop, ipc::System& system, Log& log, std::string path);
    ~Store();

    /// Empty when there is none. One that cannot be read is moved aside (`.bad`), never
    /// overwritten, and the one before it is taken.
    std::optional<SavedState> load();
    /// Writes soon; a later text replaces one that waits. `on_disk` is called, on the loop, when
    /// this text or a later one is there, or has failed to get there: it is tried again each second
    /// then.
    void save(std::string text, std::function<void()> on_disk = {});
    /// When all that was saved is there, or has failed to get there.
    void when_saved(std::function<void()> on_disk);
    /// Waits until everything is on disk. Errors: of the last write.
    ipc::Result<void> flush();
    /// Why the file is not as it should be; "" it is.
    [[nodiscard]] const std::string& fault() const { return fault_; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    void write_next();
    void written(ipc::Result<void> result, std::string text, unsigned number);

    boost::asio::io_context& loop_;
    ipc::System& system_;
    Log& log_;
    std::string path_;
    std::optional<std::string> next_;
    std::vector<std::function<void()>> waiting_, in_hand_; ///< for `next_`, for what is written now
    std::thread writer_;
    bool writing_ = false;
    unsigned number_ = 0; ///< of the newest text that was begun to be written
    std::string fault_;
    boost::asio::steady_timer again_;
};

/// Writes a file so that at every moment the old or the new one is there whole: `path`.new, fsync,
/// rename. The old one becomes `path`.bak.
ipc::Result<void> replace_file(ipc::System& system, const std::string& path,
                               const std::string& text);

} // namespace cluster::supervisor
