// What a manager that takes over after a crash has to know, written down at once: the state
// (state.hpp) as a snapshot and one more line for each turn of the loop that changed something. It
// lies in memory (man 2 memfd_create) that the guardian keeps, so that neither a full disk nor a
// slow one has a say in it.
#pragma once

#include "supervisor/daemon/guardian_link.hpp"
#include "supervisor/daemon/state.hpp"
#include "supervisor/engine/recorder.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <set>
#include <vector>

namespace cluster::supervisor {

class Journal final : public Recorder {
public:
    using GetUnderWay = std::function<UnderWay()>;

    Journal(boost::asio::io_context& loop, Supervisor& supervisor, GuardianLink& link, Log& log);

    void tell_under_way(GetUnderWay get) { get_under_way_ = std::move(get); }
    /// Called when something is about to be written.
    void on_change(std::function<void()> call) { on_change_ = std::move(call); }

    void row(const Worker& worker) override;
    void removed(std::uint64_t key) override;
    void listeners() override;
    void node_handles() override;
    /// Reloads, held-back starts and ends: others than before.
    void under_way();
    void flush() override;
    void end_known(pid_t pid, std::uint64_t start_time) override;

    /// Begins anew with a snapshot. Before the first one nothing is written: what the guardian has
    /// stays as it is until all of it has been taken over.
    void begin();

private:
    void soon();
    bool append(const std::string& text);
    std::vector<std::shared_ptr<const App>> new_apps(const StateChange& change);

    boost::asio::io_context& loop_;
    Supervisor& supervisor_;
    GuardianLink& link_;
    Log& log_;
    GetUnderWay get_under_way_;
    std::function<void()> on_change_;
    ipc::UniqueFd file_;
    std::size_t size_ = 0, snapshot_size_ = 0;
    EnvironmentNumbers numbers_;
    std::set<std::uint64_t> known_apps_; ///< that stand in the file
    std::set<std::uint64_t> rows_;
    std::vector<std::uint64_t> removed_;
    bool listeners_ = false, node_ = false, under_way_ = false;
    bool posted_ = false;
};

} // namespace cluster::supervisor
