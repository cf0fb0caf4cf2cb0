// What a manager that takes over after a crash has to know, written down at once: the state
// (state.hpp) as a snapshot and one more line for each turn of the loop that changed something.
//
// It is a file of the home ($CLUSTER_HOME/journal) that is never synced: what is written is there
// for whoever comes next, however we and the guardian end, until the machine does. Where the disk
// is full it lies in memory under a name (man 7 shm_overview), which is as good. Where that cannot
// be had either, memory that the guardian keeps (man 2 memfd_create) outlives only us.
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

    /// Where it goes while the disk is full: a file in a folder that lies in memory. "" (the
    /// default): nowhere.
    void set_memory_path(std::string path);
    /// Where the manager before us may have left one that nobody has handed over; the first that
    /// can be read counts.
    [[nodiscard]] std::vector<std::string> left_behind() const;
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
    ipc::Result<ipc::UniqueFd> new_file_in_memory(const std::string& snapshot);
    ipc::Result<ipc::UniqueFd> open_file(const std::string& path, const std::string& snapshot);
    void remove_memory();
    ipc::Result<void> append(const ipc::UniqueFd& file, std::string_view text);
    std::vector<std::shared_ptr<const App>> new_apps(const StateChange& change);

    boost::asio::io_context& loop_;
    Supervisor& supervisor_;
    GuardianLink& link_;
    Log& log_;
    std::string path_, memory_path_;
    GetUnderWay get_under_way_;
    ipc::UniqueFd file_;
    bool in_memory_ = false;
    bool memory_there_ = false;             ///< something may be at `memory_path_`
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
