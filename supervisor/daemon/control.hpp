// The methods of docs/protocol.md. One row per method in `kMethods` (control.cpp); each handler
// checks its parameters completely before any state is touched.
#pragma once

#include "ipc/net/server.hpp"
#include "supervisor/daemon/followers.hpp"
#include "supervisor/daemon/store.hpp"
#include "supervisor/engine/ordering.hpp"
#include "supervisor/engine/reloads.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cluster::supervisor {

class Control {
public:
    /// `quit` is called when everything has been stopped after `kill`.
    Control(Supervisor& supervisor, boost::asio::io_context& loop, Store& store, Log& log,
            std::function<void()> quit);

    void on_request(const std::shared_ptr<ipc::Session>& session, ipc::Request request);

    /// Starts what the state file wants: at the start of the daemon.
    void restore();
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

    // Acting on workers (control.cpp).
    Outcome stop(const SessionPtr& session, const ipc::Request& request);
    Outcome remove(const SessionPtr& session, const ipc::Request& request);
    Outcome reset(const SessionPtr& session, const ipc::Request& request);
    Outcome send_signal(const SessionPtr& session, const ipc::Request& request);
    Outcome kill(const SessionPtr& session, const ipc::Request& request);

    using AppPtr = std::shared_ptr<const App>;
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

    /// A wait that answers `request` when it is over, unless the client said wait: false.
    Waiting::Wait& answer_when_done(const SessionPtr& session, const ipc::Request& request);
    /// Everything is asked: saves what is wanted now, and answers at once for wait: false.
    void conclude(Waiting::Wait& wait, const SessionPtr& session, const ipc::Request& request,
                  const std::vector<int>& ids);
    void answer(const SessionPtr& session, const ipc::Request& request, const WaitResult& result);
    void answer_list(const SessionPtr& session, const ipc::Request& request, std::vector<int> ids,
                     void (*append)(std::string&, Supervisor&, const Worker&),
                     std::string_view before, std::string_view after);
    void end_everything(Waiting::Wait& wait, Event event, Goal goal, const std::string& cause);
    void changed();
    void save_later(milliseconds latest);
    void trim_later();

    Supervisor& supervisor_;
    boost::asio::io_context& loop_;
    Store& store_;
    Log& log_;
    std::function<void()> quit_;
    Waiting waiting_;
    Ordering ordering_;
    Reloads reloads_;
    Followers followers_;
    std::vector<std::weak_ptr<const ipc::Environment>> environments_;
    boost::asio::steady_timer trim_timer_;
    bool shutting_down_ = false;
    boost::asio::steady_timer save_timer_;
    bool save_armed_ = false;
};

} // namespace cluster::supervisor
