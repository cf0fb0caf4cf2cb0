// What a manager that takes over after a crash has to know, written down at once: the state
// (state.hpp) as a snapshot and one more line for each turn of the loop that changed something.
//
// It is a file of the home ($CLUSTER_HOME/journal) that is never synced: what is written is there
// for whoever comes next, however we and the guardian end, until the machine does. Where the disk
// is full it lies in memory (man 2 memfd_create) that the guardian keeps, and outlives only us.
#pragma once

#include "supervisor/daemon/guardian_link.hpp"
#include "supervisor/daemon/state.hpp"
#include "supervisor/engine/recorder.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

class Journal final : public Recorder {
public:
    using GetUnderWay = std::function<UnderWay()>;

    Journal(boost::asio::io_context& loop, Supervisor& supervisor, GuardianLink& link, Log& log,
            std::string path);

    [[nodiscard]] const std::string& path() const { return path_; }
    void tell_under_way(GetUnderWay get) { get_under_way_ = std::move(get); }
    void row(const Worker& worker) override;
    void removed(std::uint64_t key) override;
    void listeners() override;
    void node_handles() override;
    /// Reloads, held-back starts and ends: others than before.
    void under_way();
    void flush() override;
    void end_known(pid_t pid, std::uint64_t start_time) override;

    /// Begins anew with a snapshot. Before the first one nothing is written: what is there stays as
    /// it is until all of it has been taken over.
    void begin();
    /// All that ran has ended in good order: what is wanted is all there is to know.
    void end();

private:
    void soon();
    ipc::Result<ipc::UniqueFd> new_file(const std::string& snapshot);
    ipc::Result<ipc::UniqueFd> open_file(const std::string& snapshot);
    ipc::Result<void> append(const ipc::UniqueFd& file, std::string_view text);
    std::vector<std::shared_ptr<const App>> new_apps(const StateChange& change);

    boost::asio::io_context& loop_;
    Supervisor& supervisor_;
    GuardianLink& link_;
    Log& log_;
    std::string path_;
    GetUnderWay get_under_way_;
    ipc::UniqueFd file_;
    bool in_memory_ = false;
    std::chrono::milliseconds begun_at_{0}; ///< monotonic
    std::size_t size_ = 0, snapshot_size_ = 0;
    EnvironmentNumbers numbers_;
    std::set<std::uint64_t> known_apps_; ///< that stand in the file
    std::set<std::uint64_t> rows_;
    std::vector<std::uint64_t> removed_;
    bool listeners_ = false, node_ = false, under_way_ = false;
    bool posted_ = false;
    bool begun_ = false;  ///< there was a first snapshot
    bool behind_ = false; ///< what is written is not all: it takes a snapshot
};

} // namespace cluster::supervisor
