// The methods of docs/protocol.md. One row per method in `kMethods` (control.cpp); each handler
// checks its parameters completely before any state is touched.
#pragma once

#include "ipc/net/server.hpp"
#include "supervisor/daemon/followers.hpp"
#include "supervisor/daemon/journal.hpp"
#include "supervisor/daemon/metrics.hpp"
#include "supervisor/daemon/metrics_server.hpp"
#include "supervisor/daemon/settings.hpp"
#include "supervisor/daemon/store.hpp"
#include "supervisor/daemon/upgrader.hpp"
#include "supervisor/engine/ordering.hpp"
#include "supervisor/engine/reloads.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/timetable.hpp"
#include "supervisor/engine/waiting.hpp"
#include "supervisor/sys/take_back.hpp"

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::supervisor {

class Control {
public:
    /// How the daemon ends; each is called at most once, on the loop.
    struct Endings {
        std::function<void()> quit;  ///< everything has been stopped
        std::function<void()> leave; ///< both daemons shall end and the workers stay
    };
    Control(Supervisor& supervisor, boost::asio::io_context& loop, Store& store, Journal& journal,
            Upgrader& upgrader, SettingsFile& settings, MetricsServer& metrics, Log& log,
            Endings endings);

    void on_request(const std::shared_ptr<ipc::Session>& session, ipc::Request request);

    /// Goes on where the daemon before us was: with what the guardian hands over, else with what
    /// the state file tells of.
    void restore(GuardianLink::HandedOver handed);
    /// Instead of `restore`: ends what an earlier daemon left and begins with nothing.
    void begin_empty();
    /// Output waits until the foreground supervisor takes it (attended.hpp).
    void attend();
    /// A child of the guardian has ended.
    void on_ended(const EndedProcess& ended);
    /// What it can tell to Prometheus beside the workers.
    [[nodiscard]] DaemonFigures figures() const;
    /// Stops everything and keeps it wanted (SIGTERM: the host goes down); then `done`.
    void stop_all(std::function<void()> done);

private:
    using SessionPtr = std::shared_ptr<ipc::Session>;
    /// An immediate error, or nothing when the answer has been or will be given.
    using Outcome = std::expected<void, ipc::RpcError>;
    using Handler = Outcome (Control::*)(const SessionPtr&, const ipc::Request&);
    struct Method {
        std::string_view name;
        int since; ///< protocol version that brought it
        Handler handler;
    };
    static const Method kMethods[];

    // Looking (control_reads.cpp).
    Outcome ping(const SessionPtr& session, const ipc::Request& request);
    Outcome list(const SessionPtr& session, const ipc::Request& request);
    Outcome jlist(const SessionPtr& session, const ipc::Request& request);
    Outcome describe(const SessionPtr& session, const ipc::Request& request);
    Outcome env(const SessionPtr& session, const ipc::Request& request);
    Outcome follow_logs(const SessionPtr& session, const ipc::Request& request);
    Outcome follow_events(const SessionPtr& session, const ipc::Request& request);
    Outcome unfollow(const SessionPtr& session, const ipc::Request& request);

    // Declaring apps (control_start.cpp).
    Outcome start(const SessionPtr& session, const ipc::Request& request);
    Outcome restart(const SessionPtr& session, const ipc::Request& request);
    Outcome scale(const SessionPtr& session, const ipc::Request& request);

    // Replacing processes one by one (control_reload.cpp).
    Outcome reload(const SessionPtr& session, const ipc::Request& request);
    Outcome abort_reload(const SessionPtr& session, const ipc::Request& request);
    void restart_by_clock(const std::string& app_name);

    // Acting on workers (control.cpp).
    Outcome stop(const SessionPtr& session, const ipc::Request& request);
    Outcome remove(const SessionPtr& session, const ipc::Request& request);
    Outcome reset(const SessionPtr& session, const ipc::Request& request);
    Outcome send_signal(const SessionPtr& session, const ipc::Request& request);
    Outcome kill(const SessionPtr& session, const ipc::Request& request);

    // What users save themselves (control_dump.cpp).
    Outcome save_list(const SessionPtr& session, const ipc::Request& request);
    Outcome clear_dump(const SessionPtr& session, const ipc::Request& request);
    Outcome resurrect(const SessionPtr& session, const ipc::Request& request);
    struct Revived {
        std::vector<int> ids;    ///< rows that were added
        std::vector<int> wanted; ///< those of them that shall run
        std::vector<WaitFailure> failures;
    };
    void save_dump(const SessionPtr& session, const ipc::Request& request, std::string text,
                   ipc::json answer);
    std::optional<std::pair<std::string, SavedState>> find_dump();
    Revived revive(const SavedState& saved);
    void answer_resurrect(const SessionPtr& session, const ipc::Request& request,
                          const std::string& source, const WaitResult& result);

    // The files of the logs (control_logs.cpp).
    Outcome flush_logs(const SessionPtr& session, const ipc::Request& request);
    Outcome reopen_logs(const SessionPtr& session, const ipc::Request& request);
    ipc::RpcResult<std::vector<std::string>> log_paths_of(const ipc::json& params) const;

    // What is set for the daemon as a whole (control_settings.cpp).
    Outcome get_settings(const SessionPtr& session, const ipc::Request& request);
    Outcome set_setting(const SessionPtr& session, const ipc::Request& request);
    Outcome unset_setting(const SessionPtr& session, const ipc::Request& request);
    [[nodiscard]] ipc::json settings_json() const;

    // Whether all is as it must be (control_doctor.cpp).
    Outcome doctor(const SessionPtr& session, const ipc::Request& request);

    // Going on with another program (control_upgrade.cpp).
    Outcome upgrade(const SessionPtr& session, const ipc::Request& request);

    // Going on after another daemon (control_restore.cpp).
    using AppPtr = std::shared_ptr<const App>;
    using Apps = std::map<std::uint64_t, AppPtr>;
    using Unseen = std::map<std::uint64_t, ProcessStat>; ///< by key of the row
    void forget_what_ran(SavedState& state);
    void end_strangers(const SavedState& state, const std::vector<MarkedProcess>& marked,
                       const Unseen& unseen);
    void find_kept(const SavedState& state, const Unseen& unseen, KeptFds& kept) const;
    Apps declare_saved(const SavedState& state, KeptFds& kept);
    void adopt_rows(SavedState& state, const Apps& apps, KeptFds& kept, const Unseen& unseen);
    UnderWay unfinished(const SavedState& state, const Apps& apps);
    void take_up(const SavedState& state, const std::vector<EndedProcess>& ended,
                 milliseconds told_within);
    void end_halves();
    [[nodiscard]] UnderWay under_way() const;

    enum class Existing { restart, error, fresh };

    ipc::RpcResult<std::vector<int>> targets_of(const ipc::json& params) const;
    ipc::RpcResult<std::vector<AppPtr>> declare_all(const ipc::json& params);
    ipc::RpcResult<ipc::Environment> environment_in(const ipc::json& params) const;
    std::shared_ptr<const ipc::Environment> intern(ipc::Environment environment);
    Outcome refuse_existing(const std::vector<AppPtr>& apps) const;
    std::vector<int> start_app(const AppPtr& app, Existing existing, Waiting::Wait& wait,
                               const std::string& cause);
    std::vector<int> resize(const AppPtr& app, int wanted, Waiting::Wait& wait,
                            const std::string& cause);
    void start_worker(Worker& worker, Waiting::Wait& wait, const std::string& cause);
    using Revised = std::map<AppPtr, AppPtr>; ///< what was declared → what is from now on
    ipc::RpcResult<AppPtr> revise(const Worker& worker, const ipc::json& params);
    ipc::RpcResult<Revised> revise_all(const std::vector<int>& ids, const ipc::json& params);

    struct Joint;
    struct ReloadPart {
        std::string name;
        std::vector<int> ids;
        AppPtr app; ///< what the new processes are made from
    };
    ipc::RpcResult<std::vector<ReloadPart>> parts_of(const ipc::json& params);
    void reload_part(const ReloadPart& part, const std::shared_ptr<Joint>& joint,
                     const std::string& cause);
    void announce(const SessionPtr& session, const ipc::Request& request,
                  const std::vector<ReloadPart>& parts);
    void send_step(const std::weak_ptr<ipc::Session>& session, const ipc::json& request_id,
                   const Joint& joint, const Worker& worker, const ReloadStep& step);
    void part_done(const std::shared_ptr<Joint>& joint, WaitResult part);
    /// Something else is wanted of these workers: a reload of their app ends.
    void cancel_reloads(const std::vector<int>& ids, const std::string& cause);
    void send_progress(const std::weak_ptr<ipc::Session>& session, const ipc::json& request_id,
                       const WaitProgress& progress);
    Outcome act(const SessionPtr& session, const ipc::Request& request, Event event, Goal goal);
    void limit_stop(const std::vector<int>& ids, milliseconds grace, const std::string& cause);
    using Processes = std::vector<std::pair<std::uint64_t, unsigned>>; ///< keys and generations
    void kill_late(const Processes& asked, const std::string& cause);

    /// A wait that answers `request` when it is over, unless the client said wait: false.
    Waiting::Wait& answer_when_done(const SessionPtr& session, const ipc::Request& request);
    /// Everything is asked: saves what is wanted now, and answers at once for wait: false.
    void conclude(Waiting::Wait& wait, const SessionPtr& session, const ipc::Request& request,
                  const std::vector<int>& ids);
    void answer(const SessionPtr& session, const ipc::Request& request, const WaitResult& result);
    void answer_list(const SessionPtr& session, const ipc::Request& request, std::vector<int> ids,
                     void (*append)(std::string&, Supervisor&, const Worker&),
                     std::string_view before, std::string_view after);
    void kill_all(const std::string& cause, std::function<void(const WaitResult&)> done);
    void end_records();
    void end_everything(Waiting::Wait& wait, Event event, Goal goal, const std::string& cause);
    void note_under_way();
    static constexpr milliseconds kSaveAfter{50}; ///< of a change to what is wanted
    void changed();
    void save_later(milliseconds after, milliseconds latest);
    void save(std::function<void()> on_disk = {});
    /// Once all that is wanted by now stands on disk.
    void when_saved(std::function<void()> then);
    void trim_later();

    /// Beside the state file: what was there before it was given up on purpose.
    static constexpr const char* kLastSuffix = ".last";

    Supervisor& supervisor_;
    boost::asio::io_context& loop_;
    Store& store_;
    Journal& journal_;
    Upgrader& upgrader_;
    SettingsFile& settings_;
    MetricsServer& metrics_;
    Log& log_;
    Endings endings_;
    Waiting waiting_;
    Ordering ordering_;
    Reloads reloads_;
    Timetable timetable_;
    Followers followers_;
    Store dump_;
    std::vector<std::weak_ptr<const ipc::Environment>> environments_;
    boost::asio::steady_timer trim_timer_;
    Ending ending_ = Ending::none;
    UnderWay unfinished_;    ///< of the daemon before us, until it is taken up
    bool restoring_ = false; ///< the table is not whole: nothing is saved
    boost::asio::steady_timer save_timer_;
    bool unsaved_ = false;
    bool stopping_all_ = false;
    bool attended_ = false;
    bool under_way_noted_ = false; ///< the journal knows of something under way
};

} // namespace cluster::supervisor
