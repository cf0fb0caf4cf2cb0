#include "supervisor/daemon/control.hpp"

#include "ipc/wire/units.hpp"
#include "supervisor/core/targets.hpp"
#include "supervisor/daemon/render.hpp"
#include "supervisor/sys/host.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;
using ipc::RpcError;

constexpr milliseconds kQuietFor{200}; ///< then memory goes back
constexpr milliseconds kSaveAtLatest{2000};
constexpr milliseconds kLongestGrace{24 * 3600 * 1000};

RpcError not_found(const std::string& target)
{
    return {.code = ipc::kNotFound,
            .message = target == "all" ? "no process found"
                                       : "process or namespace " + target + " not found",
            .data = {{"target", target}}};
}

std::string asked_by(std::string_view what, const ipc::Session& session)
{
    return fmt::format("{} asked by {} (uid {})", what, session.client(), session.uid());
}

bool waits(const ipc::Request& request)
{
    const auto wait = request.params.find("wait");
    return wait == request.params.end() || *wait != false;
}

RpcError failure_error(const WaitResult& result, Supervisor& supervisor)
{
    const WaitFailure& first = result.failures.front();
    std::string message = fmt::format("{} ({}): {}", first.name, first.id, first.reason);
    if (result.failures.size() > 1)
        message += fmt::format(" (and {} more)", result.failures.size() - 1);
    const json processes = json::parse(processes_text(supervisor, result.ids), nullptr, false);
    return {.code = ipc::kFailed,
            .message = std::move(message),
            .data = {{"failures", failures_json(result.failures)},
                     {"processes", processes.value("processes", json::array())}}};
}

} // namespace

const Control::Method Control::kMethods[] = {
    {"ping", 1, &Control::ping},
    {"list", 1, &Control::list},
    {"jlist", 1, &Control::jlist},
    {"describe", 1, &Control::describe},
    {"env", 1, &Control::env},
    {"start", 1, &Control::start},
    {"stop", 1, &Control::stop},
    {"restart", 1, &Control::restart},
    {"delete", 1, &Control::remove},
    {"reset", 1, &Control::reset},
    {"reload", 1, &Control::reload},
    {"reload.abort", 1, &Control::abort_reload},
    {"scale", 1, &Control::scale},
    {"send_signal", 1, &Control::send_signal},
    {"logs.follow", 1, &Control::follow_logs},
    {"events.follow", 1, &Control::follow_events},
    {"unfollow", 1, &Control::unfollow},
    {"logs.flush", 1, &Control::flush_logs},
    {"logs.reopen", 1, &Control::reopen_logs},
    {"kill", 1, &Control::kill},
    {"save", 1, &Control::save_list},
    {"cleardump", 1, &Control::clear_dump},
    {"resurrect", 1, &Control::resurrect},
    {"settings", 1, &Control::get_settings},
    {"settings.set", 1, &Control::set_setting},
    {"settings.unset", 1, &Control::unset_setting},
    {"doctor", 1, &Control::doctor},
    {"upgrade", 1, &Control::upgrade},
};

Control::Control(Supervisor& supervisor, boost::asio::io_context& loop, Store& store,
                 Journal& journal, Upgrader& upgrader, SettingsFile& settings,
                 MetricsServer& metrics, Log& log, Endings endings)
    : supervisor_{supervisor}, loop_{loop}, store_{store}, journal_{journal}, upgrader_{upgrader},
      settings_{settings}, metrics_{metrics}, log_{log}, endings_{std::move(endings)},
      waiting_{supervisor, loop}, ordering_{supervisor, waiting_, loop},
      reloads_{supervisor, waiting_, loop},
      timetable_{supervisor, loop, [this](const std::string& name) { restart_by_clock(name); }},
      followers_{supervisor},
      dump_{loop, supervisor.system(), log, supervisor.home() + "/dump.json"}, trim_timer_{loop},
      save_timer_{loop}
{
    supervisor_.observe(
        [this](const Worker& worker, Event event) {
            waiting_.on_transition(worker, event);
            reloads_.on_transition(worker, event);
            ordering_.on_change();
            followers_.on_transition(worker, event);
            note_under_way();
            if (worker.at_rest()) changed(); // it may have ended by itself
        },
        [this](const Worker& worker) {
            waiting_.on_removed(worker);
            ordering_.on_change();
            changed();
        });
    supervisor_.record_to(journal_);
    journal_.tell_under_way([this] { return under_way(); });
    supervisor_.set_recycler([this](const Worker& worker, const std::string& cause) {
        if (!can_overlap(*worker.app)) return false;
        reloads_.recycle(worker, cause);
        return true;
    });
    trim_later(); // start-up is the first burst
}

void Control::on_request(const SessionPtr& session, ipc::Request request)
{
    const auto method = std::ranges::find(kMethods, request.method, &Method::name);
    if (method == std::end(kMethods)) {
        return session->respond(request, RpcError{.code = ipc::kMethodNotFound,
                                                  .message = "no method " + request.method,
                                                  .data = nullptr});
    }
    if (ending_ != Ending::none) {
        return session->respond(request, RpcError{.code = ipc::kShuttingDown,
                                                  .message = "the daemon is shutting down",
                                                  .data = nullptr});
    }
    if (const json wait = request.params.value("wait", json(true)); !wait.is_boolean()) {
        return session->respond(request,
                                ipc::invalid_param("/wait", "true or false", wait).error());
    }
    if (auto outcome = (this->*method->handler)(session, request); !outcome)
        session->respond(request, outcome.error());
    note_under_way();
    trim_later();
}

ipc::RpcResult<std::vector<int>> Control::targets_of(const json& params) const
{
    const json targets = params.value("targets", json{});
    if (!targets.is_array() || targets.empty())
        return ipc::invalid_param("/targets", "an array of strings, at least one", targets);
    const json cwd = params.value("cwd", json(""));
    if (!cwd.is_string()) return ipc::invalid_param("/cwd", "a string", cwd);

    std::vector<TargetView> views;
    for (const auto& [id, worker] : supervisor_.workers()) {
        views.push_back({.id = id,
                         .name = worker->spec().name,
                         .name_space = worker->spec().name_space,
                         .script = worker->spec().script});
    }
    std::vector<int> ids;
    for (const json& target : targets) {
        if (!target.is_string()) return ipc::invalid_param("/targets/-", "a string", target);
        const auto& text = target.get_ref<const std::string&>();
        if (const std::string fault = target_fault(text); !fault.empty()) {
            return std::unexpected(
                RpcError{.code = ipc::kInvalidParams,
                         .message = fault,
                         .data = {{"path", "/targets/-"}, {"expected", "a regular expression"}}});
        }
        const auto found = resolve_target(text, cwd.get_ref<const std::string&>(), views);
        if (found.empty()) return std::unexpected(not_found(text));
        ids.insert(ids.end(), found.begin(), found.end());
    }
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    return ids;
}

Control::Outcome Control::act(const SessionPtr& session, const ipc::Request& request, Event event,
                              Goal goal)
{
    const auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    const std::string cause = asked_by(request.method, *session);
    cancel_reloads(*ids, cause);
    Waiting::Wait& wait = answer_when_done(session, request);
    for (const int id : *ids)
        waiting_.add(wait, *supervisor_.find(id), goal);
    ordering_.end(*ids, event, cause);
    conclude(wait, session, request, *ids);
    return {};
}

void Control::conclude(Waiting::Wait& wait, const SessionPtr& session, const ipc::Request& request,
                       const std::vector<int>& ids)
{
    changed();
    waiting_.begin(wait);
    if (waits(request)) return;
    when_saved([this, weak = std::weak_ptr{session}, request, ids] {
        if (const auto to = weak.lock()) answer(to, request, {.ids = ids, .failures = {}});
    });
}

Control::Outcome Control::stop(const SessionPtr& session, const ipc::Request& request)
{
    const auto grace = request.params.find("grace_ms");
    if (grace == request.params.end()) return act(session, request, Event::stop_asked, Goal::down);
    if (!grace->is_number_unsigned() || *grace > kLongestGrace.count())
        return ipc::invalid_param("/grace_ms", "milliseconds, at most a day", *grace);
    const auto ids = targets_of(request.params);
    auto done = act(session, request, Event::stop_asked, Goal::down);
    if (done && ids)
        limit_stop(*ids, milliseconds{grace->get<std::int64_t>()}, asked_by("stop", *session));
    return done;
}

/// What is left of them after `grace` is killed, whose turn to end has not come among it; but not
/// what was started again since.
void Control::limit_stop(const std::vector<int>& ids, milliseconds grace, const std::string& cause)
{
    Processes asked;
    for (const Worker* worker : supervisor_.rows())
        if (std::ranges::binary_search(ids, worker->id))
            asked.emplace_back(worker->key, worker->generation);
    auto timer = std::make_shared<boost::asio::steady_timer>(loop_, grace);
    timer->async_wait([this, timer, asked, cause](boost::system::error_code cancelled) {
        if (!cancelled) kill_late(asked, cause);
    });
}

void Control::kill_late(const Processes& asked, const std::string& cause)
{
    for (const auto& [key, generation] : asked) {
        Worker* worker = supervisor_.find_row(key); // what happens to one row may remove others
        if (!worker || worker->generation != generation || worker->at_rest()) continue;
        if (supervisor_.is_shown(*worker)) {
            ordering_.forget(*worker);
            supervisor_.ask(*worker, Event::stop_asked, cause);
            worker = supervisor_.find_row(key);
        }
        if (worker) supervisor_.hurry(*worker);
    }
}

Control::Outcome Control::remove(const SessionPtr& session, const ipc::Request& request)
{
    return act(session, request, Event::delete_asked, Goal::gone);
}

Control::Outcome Control::reset(const SessionPtr& session, const ipc::Request& request)
{
    const auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    for (const int id : *ids)
        supervisor_.reset(*supervisor_.find(id));
    changed();
    when_saved([this, weak = std::weak_ptr{session}, request, ids = *ids] {
        if (const auto to = weak.lock()) answer(to, request, {.ids = ids, .failures = {}});
    });
    return {};
}

Control::Outcome Control::send_signal(const SessionPtr& session, const ipc::Request& request)
{
    const json given = request.params.value("signal", json{});
    std::optional<int> signal;
    if (given.is_string()) signal = ipc::parse_signal(given.get_ref<const std::string&>());
    if (given.is_number_integer() && given >= 1 && given <= 64) signal = given.get<int>();
    if (!signal)
        return ipc::invalid_param("/signal", R"(a signal such as "SIGUSR2", "USR2" or 12)", given);
    const auto ids = targets_of(request.params);
    if (!ids) return std::unexpected(ids.error());
    WaitResult result{.ids = *ids, .failures = {}};
    for (const int id : *ids) {
        Worker& worker = *supervisor_.find(id);
        const auto sent = supervisor_.signal(worker, *signal);
        if (sent) continue;
        result.failures.push_back(
            {.id = id,
             .name = worker.spec().name,
             .stage = "signal",
             .reason = worker.alive() ? sent.error().text() : "is not running",
             .status = {},
             .errors = {}});
    }
    answer(session, request, result);
    return {};
}

Control::Outcome Control::kill(const SessionPtr& session, const ipc::Request& request)
{
    const json leave = request.params.value("leave_workers", json(false));
    if (!leave.is_boolean()) return ipc::invalid_param("/leave_workers", "true or false", leave);
    if (leave == true) {
        log_.info(asked_by("kill", *session) + ", and the workers stay");
        save();
        (void)store_.flush();
        ending_ = Ending::stop;
        answer(session, request, {.ids = {}, .failures = {}});
        boost::asio::post(loop_, [this] { endings_.leave(); });
        return {};
    }
    kill_all(asked_by("kill", *session), [this, session, request](const WaitResult& result) {
        answer(session, request, {.ids = {}, .failures = result.failures});
    });
    return {};
}

/// The next daemon begins with nothing; what was there can be had back by `resurrect`.
void Control::kill_all(const std::string& cause, std::function<void(const WaitResult&)> done)
{
    if (!supervisor_.workers().empty() && ending_ == Ending::none) {
        EnvironmentNumbers numbers;
        const std::string last = state_text(supervisor_, {}, numbers);
        if (auto kept = replace_file(supervisor_.system(), store_.path() + kLastSuffix, last);
            !kept)
            log_.error("state: " + kept.error().text());
    }
    Waiting::Wait& wait =
        waiting_.prepare({}, [this, done = std::move(done)](const WaitResult& result) {
            log_.info("everything is stopped, the daemon ends");
            EnvironmentNumbers numbers;
            store_.save(state_text(supervisor_, {}, numbers)); // the next daemon has nothing to end
            (void)store_.flush();
            end_records();
            done(result);
            // Once the answer is out, and whether or not anybody still reads it.
            boost::asio::post(loop_, [this] { endings_.quit(); });
        });
    ending_ = Ending::kill;
    journal_.under_way();
    save(); // after a reboot there is nothing to bring back
    reloads_.cancel_all(cause);
    end_everything(wait, Event::delete_asked, Goal::gone, cause);
    waiting_.begin(wait);
}

/// Of what runs: nothing does.
void Control::end_records()
{
    journal_.end();
    supervisor_.logs().remove_stage_name();
}

void Control::stop_all(std::function<void()> done)
{
    if (std::exchange(stopping_all_, true)) return;
    supervisor_.logs().wake();
    // As it is wanted now: nothing after this is saved.
    if (ending_ == Ending::none) save();
    (void)store_.flush();
    if (ending_ == Ending::none) ending_ = Ending::stop;
    journal_.under_way();
    Waiting::Wait& wait = waiting_.prepare({}, [this, done = std::move(done)](const WaitResult&) {
        end_records();
        done();
    });
    const std::string cause = "the daemon was told to stop";
    reloads_.cancel_all(cause);
    end_everything(wait, Event::stop_asked, Goal::down, cause);
    waiting_.begin(wait);
}

void Control::attend()
{
    attended_ = true;
    // Told to stop, we are alone: whoever took the output is dead.
    supervisor_.logs().set_gate([this] { return stopping_all_ || followers_.taken(); });
}

void Control::on_ended(const EndedProcess& ended)
{
    supervisor_.on_ended(ended.pid, ended.start_time, ended.status);
}

UnderWay Control::under_way() const
{
    if (restoring_) return unfinished_;
    return {.reloads = reloads_.orders(), .held = ordering_.held(), .ending = ending_};
}

/// While there is something under way beside the rows, or was until now.
void Control::note_under_way()
{
    const bool any = reloads_.any() || !ordering_.held().empty();
    if (any || under_way_noted_) journal_.under_way();
    under_way_noted_ = any;
}

/// Halves of reloads at once, the others in their order.
void Control::end_everything(Waiting::Wait& wait, Event event, Goal goal, const std::string& cause)
{
    std::vector<int> ids;
    std::vector<std::uint64_t> hidden_keys;
    for (Worker* worker : supervisor_.rows()) {
        const bool shown = supervisor_.find(worker->id) == worker;
        waiting_.add(wait, *worker, shown ? goal : Goal::gone);
        if (shown)
            ids.push_back(worker->id);
        else
            hidden_keys.push_back(worker->key);
    }
    for (const std::uint64_t key : hidden_keys)
        if (Worker* worker = supervisor_.find_row(key))
            supervisor_.ask(*worker, Event::delete_asked, cause);
    ordering_.end(ids, event, cause);
}

Waiting::Wait& Control::answer_when_done(const SessionPtr& session, const ipc::Request& request)
{
    if (!waits(request)) return waiting_.prepare({}, [](const WaitResult&) {});
    std::weak_ptr<ipc::Session> weak = session;
    const json id = request.id;
    return waiting_.prepare(
        [this, weak, id](const WaitProgress& progress) { send_progress(weak, id, progress); },
        [this, weak, request](const WaitResult& result) {
            when_saved([this, weak, request, result] {
                if (const auto to = weak.lock()) answer(to, request, result);
            });
        });
}

void Control::send_progress(const std::weak_ptr<ipc::Session>& session, const json& request_id,
                            const WaitProgress& progress)
{
    const auto to = session.lock();
    if (!to || !to->open()) return;
    to->notify(ipc::notification_frame(
        "progress",
        {{"request", request_id},
         {"done", progress.done},
         {"total", progress.total},
         {"failed", progress.failed},
         {"process",
          {{"id", progress.id}, {"name", progress.name}, {"status", progress.status}}}}));
}

void Control::answer(const SessionPtr& session, const ipc::Request& request,
                     const WaitResult& result)
{
    if (!result.failures.empty())
        return session->respond(request, failure_error(result, supervisor_));
    answer_list(session, request, result.ids, &append_process, R"({"processes":[)", "]}");
}

void Control::answer_list(const SessionPtr& session, const ipc::Request& request,
                          std::vector<int> ids,
                          void (*append)(std::string&, Supervisor&, const Worker&),
                          std::string_view before, std::string_view after)
{
    session->respond(request, [this, ids = std::move(ids), append, before, after,
                               at = std::size_t{0}, first = true](std::string& out) mutable {
        if (at == 0) out += before;
        while (at < ids.size()) {
            const Worker* worker = supervisor_.find(ids[at++]);
            if (!worker) continue; // deleted while the client was reading
            if (!std::exchange(first, false)) out += ',';
            append(out, supervisor_, *worker);
            break;
        }
        if (at < ids.size()) return true;
        out += after;
        return false;
    });
}

/// An fsync holds up whoever creates a file meanwhile (ext4 commits its journal), and a start
/// creates several for each worker: the state is written when a burst of starts is over, or after
/// two seconds of it. Whoever waits for an answer makes it be written at once.
void Control::changed()
{
    if (ending_ != Ending::none || restoring_ || std::exchange(unsaved_, true)) return;
    save_later(kSaveAfter, supervisor_.clock().now() + kSaveAtLatest);
}

void Control::save_later(milliseconds after, milliseconds latest)
{
    save_timer_.expires_after(after);
    save_timer_.async_wait([this, latest](boost::system::error_code cancelled) {
        if (cancelled || !unsaved_ || ending_ != Ending::none) return;
        if (supervisor_.busy() && supervisor_.clock().now() < latest)
            return save_later(kSaveAfter, latest);
        save();
    });
}

void Control::save(std::function<void()> on_disk)
{
    unsaved_ = false;
    timetable_.look();
    EnvironmentNumbers numbers;
    store_.save(state_text(supervisor_, under_way(), numbers), std::move(on_disk));
}

void Control::when_saved(std::function<void()> then)
{
    // After this turn: what is being carried out is not in the table yet.
    boost::asio::post(loop_, [this, then = std::move(then)]() mutable {
        if (unsaved_ && ending_ == Ending::none) return save(std::move(then));
        store_.when_saved(std::move(then));
    });
}

/// Gives memory back that a large request took, when things have become quiet.
void Control::trim_later()
{
    trim_timer_.expires_after(kQuietFor);
    trim_timer_.async_wait([](boost::system::error_code cancelled) {
        if (!cancelled) release_idle_memory();
    });
}

} // namespace cluster::supervisor
