#include "supervisor/engine/supervisor.hpp"

#include "supervisor/sys/host.hpp"
#include "supervisor/sys/listeners.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

std::string new_unique_id(ipc::System& system)
{
    auto uuid = system.read_file("/proc/sys/kernel/random/uuid");
    if (!uuid) return {};
    while (uuid->ends_with('\n'))
        uuid->pop_back();
    return *uuid;
}

/// A launch that is tried every second for want of something: that has been told.
bool tries_again(const Worker& worker, Event event)
{
    return event == Event::spawn_postponed ||
           (event == Event::timer_fired && !worker.launch_fault.empty());
}

/// The version in the package.json nearest above the script (PM2's column); "N/A" without one.
std::string version_of(ipc::System& system, const std::string& script)
{
    for (auto slash = script.rfind('/'); slash != std::string::npos && !script.empty();
         slash = slash == 0 ? std::string::npos : script.rfind('/', slash - 1)) {
        const auto text = system.read_file(script.substr(0, slash) + "/package.json");
        if (!text) continue;
        const auto package = nlohmann::json::parse(*text, nullptr, false);
        if (!package.is_object()) return "N/A";
        const auto version = package.find("version");
        return version != package.end() && version->is_string() ? version->get<std::string>()
                                                                : "N/A";
    }
    return "N/A";
}

/// Who shares our cgroup.
std::vector<pid_t> daemons_of(const Surroundings& around)
{
    std::vector<pid_t> pids = around.reapers;
    if (std::ranges::count(pids, ::getpid()) == 0) pids.push_back(::getpid());
    return pids;
}

} // namespace

Supervisor::Supervisor(Surroundings around)
    : around_{std::move(around)}, files_{around_.system, around_.relief},
      rotation_{around_.loop, files_, around_.launcher, around_.clock, around_.log, around_.paths},
      logs_{around_.loop, files_, around_.keeper, around_.clock,
            [this](const std::string& text) { around_.log.error(text); }},
      shipping_{around_.loop, around_.clock, around_.log}, sampler_{around_.system},
      exits_{around_.loop,
             [this](std::uint64_t key) {
                 if (Worker* const worker = find_row(key)) do_soon(*worker, Chore::What::exit);
             }},
      boot_id_{around_.system.read_file("/proc/sys/kernel/random/boot_id").value_or("")},
      cpus_{usable_cpus(around_.system)}, processes_timer_{around_.loop},
      cgroups_{around_.system,
               {.home = around_.paths.home,
                .daemons = daemons_of(around_),
                .own_group = around_.own_cgroup}},
      limits_timer_{around_.loop}
{
    logs_.set_rotation(rotation_);
    rotation_.set_files([this] { return log_files(); });
    logs_.set_spill_folder(around_.paths.home + "/spill");
}

Supervisor::~Supervisor() = default;

void Supervisor::observe(Observer observer, OnRemoved removed)
{
    observer_ = std::move(observer);
    removed_ = std::move(removed);
}

Worker* Supervisor::find(int id)
{
    const auto row = workers_.find(id);
    return row == workers_.end() ? nullptr : row->second.get();
}

std::vector<int> Supervisor::of_app(std::string_view name) const
{
    const auto known = ids_of_app_.find(name);
    if (known == ids_of_app_.end()) return {};
    std::vector<const Worker*> found;
    for (const int id : known->second)
        found.push_back(workers_.at(id).get());
    std::ranges::sort(found, {}, [](const Worker* w) { return std::pair{w->instance, w->id}; });
    std::vector<int> ids;
    for (const Worker* worker : found)
        ids.push_back(worker->id);
    return ids;
}

ipc::Result<std::shared_ptr<const App>>
Supervisor::declare(ipc::AppSpec spec, std::shared_ptr<const ipc::Environment> inherited)
{
    auto app = std::make_shared<App>();
    for (const ipc::ListenAddress& address : spec.listen) {
        std::weak_ptr<Listener>& known = listeners_[address.text];
        auto listener = known.lock();
        if (!listener) {
            auto socket = open_listener(around_.system, address);
            if (!socket) return std::unexpected(socket.error());
            listener = std::make_shared<Listener>(address, around_.keeper, std::move(*socket));
            known = listener;
            recorder_->listeners();
        }
        app->listeners.push_back(std::move(listener));
    }
    fill_in(*app, std::move(spec), std::move(inherited));
    return app;
}

std::shared_ptr<const App>
Supervisor::declare_closed(ipc::AppSpec spec, std::shared_ptr<const ipc::Environment> inherited)
{
    auto app = std::make_shared<App>();
    fill_in(*app, std::move(spec), std::move(inherited));
    return app;
}

void Supervisor::fill_in(App& app, ipc::AppSpec spec,
                         std::shared_ptr<const ipc::Environment> inherited)
{
    app.number = next_app_++;
    app.version = version_of(around_.system, spec.script);
    app.spec = std::move(spec);
    app.inherited = std::move(inherited);
}

Worker* Supervisor::find_row(std::uint64_t key)
{
    const auto row = rows_.find(key);
    return row == rows_.end() ? nullptr : row->second;
}

std::vector<std::shared_ptr<const Listener>> Supervisor::listeners() const
{
    std::vector<std::shared_ptr<const Listener>> all;
    for (const auto& [address, known] : listeners_)
        if (auto listener = known.lock()) all.push_back(std::move(listener));
    return all;
}

std::vector<Worker*> Supervisor::rows() const
{
    std::vector<Worker*> all;
    for (const auto& [key, worker] : rows_)
        all.push_back(worker);
    return all;
}

/// What every new row gets, shown or hidden.
Worker& Supervisor::prepare_row(Worker& worker, int instance)
{
    worker.key = next_key_++;
    worker.instance = instance;
    worker.unique_id = new_unique_id(around_.system);
    worker.created_at = around_.clock.now();
    worker.created_wall_ms = around_.clock.wall_ms();
    name_files(worker);
    rows_[worker.key] = &worker;
    recorder_->row(worker);
    return worker;
}

Worker& Supervisor::add(std::shared_ptr<const App> app, int instance, int id)
{
    const int number = id < 0 ? next_id_ : id;
    next_id_ = std::max(next_id_, number + 1);
    auto& row = workers_[number];
    row = std::make_unique<Worker>(around_.loop, number, std::move(app));
    ids_of_app_[row->spec().name].insert(number);
    return prepare_row(*row, instance);
}

Worker& Supervisor::add_successor(const Worker& worker, std::shared_ptr<const App> app)
{
    auto row = std::make_unique<Worker>(around_.loop, worker.id, std::move(app));
    Worker& successor = prepare_row(*row, worker.instance);
    successor.life.restarts = worker.life.restarts;
    hidden_[successor.key] = std::move(row);
    return successor;
}

Worker& Supervisor::promote(Worker& successor)
{
    auto row = hidden_.extract(successor.key);
    (void)usage(*workers_.at(successor.id));
    std::swap(workers_.at(successor.id), row.mapped());
    Worker& old = *row.mapped();
    row.key() = old.key;
    hidden_.insert(std::move(row));
    ++successor.life.restarts;
    // Who counts goes on counting: to those that look it is the same worker.
    successor.recent_restarts = old.recent_restarts;
    successor.recent_restarts.add(around_.clock.wall_ms());
    successor.exits_by = old.exits_by;
    successor.cpu_before += old.cpu_before + old.cpu_seen;
    successor.incoming = false;
    sampler_.forget(successor.id);
    recorder_->row(successor);
    recorder_->row(old);
    return old;
}

void Supervisor::abandon(Worker& successor, std::string cause)
{
    const int id = successor.id;
    ask(successor, Event::delete_asked, std::move(cause));
    if (const Worker* stays = find(id); stays && stays->alive()) write_pid_file(*stays);
}

void Supervisor::leave_app(const Worker& worker)
{
    const auto app = ids_of_app_.find(worker.spec().name);
    if (app == ids_of_app_.end()) return;
    app->second.erase(worker.id);
    if (app->second.empty()) ids_of_app_.erase(app);
}

void Supervisor::change(Worker& worker, std::shared_ptr<const App> app)
{
    if (is_shown(worker)) {
        leave_app(worker);
        ids_of_app_[app->spec.name].insert(worker.id);
    }
    worker.app = std::move(app);
    name_files(worker);
    recorder_->row(worker);
    recorder_->listeners(); // those of the app before may be gone with it
    watch_limits();
}

void Supervisor::ask(Worker& worker, Event event, std::string cause, Leave leave)
{
    worker.cause = std::move(cause);
    if (leave == Leave::at_once && worker.draining) {
        const std::uint64_t key = worker.key;
        happen(worker, event); // nothing new may follow, but it need not wait any longer
        if (Worker* still = find_row(key)) end_drain(*still);
        return;
    }
    worker.leave = leave;
    if (event == Event::start_asked || event == Event::restart_asked) {
        worker.created_at = around_.clock.now();
        worker.created_wall_ms = around_.clock.wall_ms();
    }
    happen(worker, event);
}

void Supervisor::hurry(Worker& worker)
{
    if (worker.life.state == State::stopping && !worker.tree_killed)
        happen(worker, Event::timer_fired);
}

void Supervisor::hold_back(Worker& worker, std::string why)
{
    const bool other = worker.waits_for.empty() != why.empty();
    worker.waits_for = std::move(why);
    if (other) recorder_->row(worker); // whether it is wanted hangs on that
}

void Supervisor::reset(Worker& worker)
{
    worker.life = supervisor::reset(worker.life);
    worker.recent_restarts = {};
    worker.created_at = around_.clock.now();
    worker.created_wall_ms = around_.clock.wall_ms();
    recorder_->row(worker);
}

ipc::Result<void> Supervisor::signal(Worker& worker, int signal)
{
    if (!worker.alive())
        return ipc::fail(ESRCH, fmt::format("process {} is not running", worker.id));
    return around_.system.kill(worker.pid, signal);
}

void Supervisor::happen(Worker& worker, Event event, const Gone& gone)
{
    const State before = worker.life.state;
    const Step next = step(worker.life, event, worker.spec(), gone);
    if (next.next.restarts > worker.life.restarts)
        worker.recent_restarts.add(around_.clock.wall_ms());
    worker.life = next.next;
    if (before != next.next.state) {
        worker.timer.cancel();
        if (next.next.state == State::online) {
            worker.online_at = around_.clock.now();
            worker.unready.clear();
            set_live(worker, true);
        }
        if (!tries_again(worker, event))
            around_.log.info(fmt::format("{}:{} {} -- {} --> {}", worker.spec().name, worker.id,
                                         name_of(before), name_of(event),
                                         name_of(next.next.state)));
        if (worker.at_rest()) leave_node_cluster(worker);
        if (worker.tree == 0 && next.next.state != State::launching) remove_pid_file(worker);
    }
    recorder_->row(worker);
    if (observer_) observer_(worker, event);
    perform(worker, next);
}

void Supervisor::perform(Worker& worker, const Step& next)
{
    switch (next.effect) {
    case Effect::none:
        break;
    case Effect::spawn:
        do_soon(worker, Chore::What::spawn);
        break;
    case Effect::ask_then_timer:
        if (worker.tree == 0) return happen(worker, Event::gone); // its turn to spawn never came
        worker.told = false;
        worker.due_at = milliseconds{0};
        stop_serving(worker);
        stop_soon(worker);
        break;
    case Effect::kill_tree:
        do_soon(worker, Chore::What::kill);
        break;
    case Effect::wait_then_timer:
        arm(worker, next.delay);
        break;
    case Effect::remove:
        remove(worker);
        break;
    }
}

void Supervisor::arm(Worker& worker, milliseconds delay)
{
    arm_until(worker, around_.clock.now() + delay);
}

void Supervisor::arm_until(Worker& worker, milliseconds due)
{
    worker.due_at = due;
    recorder_->row(worker);
    worker.timer.expires_after(std::max(due - around_.clock.now(), milliseconds{0}));
    worker.timer.async_wait(
        [this, key = worker.key, generation = worker.generation](error_code cancelled) {
            if (cancelled) return;
            Worker* found = find_row(key);
            if (found && found->generation == generation) happen(*found, Event::timer_fired);
        });
}

void Supervisor::remove(Worker& worker)
{
    if (worker.out) logs_.empty(*worker.out);
    if (worker.err) logs_.empty(*worker.err);
    if (removed_) removed_(worker);
    sampler_.forget(worker.id);
    rows_.erase(worker.key);
    recorder_->removed(worker.key);
    if (is_shown(worker)) {
        leave_app(worker);
        workers_.erase(worker.id);
    } else {
        hidden_.erase(worker.key);
    }
    tidy_listeners();
    if (workers_.empty()) next_id_ = 0; // PM2: ids start over with an empty table
    const auto closed =
        std::erase_if(listeners_, [](const auto& entry) { return entry.second.expired(); });
    if (closed > 0) recorder_->listeners();
}

Usage Supervisor::usage(const Worker& worker)
{
    if (!worker.alive()) return {};
    const Usage now = sampler_.sample(worker.id, worker.pid, worker.start_time, around_.clock.now(),
                                      [&] { return strays(worker); });
    Worker* row = find_row(worker.key);
    if (!row || now.tasks == 0) return now; // it ends just now, and is counted then
    if (now.cpu_ticks < row->cpu_seen) {
        row->cpu_before += row->cpu_seen - now.cpu_ticks;
        recorder_->row(*row);
    }
    row->cpu_seen = now.cpu_ticks;
    return now;
}

double Supervisor::cpu_time(const Worker& worker)
{
    return cpu_seconds(worker.cpu_before + worker.cpu_seen);
}

std::vector<pid_t> Supervisor::tree(const Worker& worker)
{
    if (!worker.alive()) return {};
    return live_tree(around_.system, worker.pid, strays(worker));
}

std::function<void()> Supervisor::for_process(const Worker& worker,
                                              std::function<void(Worker&)> what)
{
    return [this, key = worker.key, generation = worker.generation, what = std::move(what)] {
        Worker* found = find_row(key);
        if (found && found->generation == generation) what(*found);
    };
}

ipc::Environment Supervisor::environment_of(const Worker& worker) const
{
    ipc::Environment environment =
        worker_environment(worker.spec(), *worker.app->inherited, identity_of(worker));
    // PM2: with `uid` it is that user's home, not the home of whoever started it.
    if (!worker.user_home.empty() && !worker.spec().env.contains("HOME"))
        environment["HOME"] = worker.user_home;
    return environment;
}

std::vector<std::string> Supervisor::last_errors(const Worker& worker)
{
    if (!worker.err) return {};
    return logs_.tail(*worker.err, worker.err_since, 10);
}

} // namespace cluster::supervisor
