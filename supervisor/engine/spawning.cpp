// Supervisor, the starting half: from a worker's row to a running process.
#include "ipc/wire/units.hpp"
#include "supervisor/engine/supervisor.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

/// What is no fault of the program and may work later: EAGAIN is one process too many (man 2 fork,
/// man 2 execve), ETXTBSY a file that somebody is still writing.
bool may_pass(const std::error_code& code)
{
    return ipc::is_shortage(code) || code == std::errc::resource_unavailable_try_again ||
           code == std::errc::text_file_busy;
}

/// PM2: characters outside [A-Za-z0-9.-] of a name become '-' in file names.
std::string file_name(std::string name)
{
    for (char& c : name) {
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '-';
    }
    return name;
}

/// "web-out.log" → "web-out-3.log"; a path not ending in .log stays (PM2).
std::string with_number(const std::string& path, int id, std::string_view ending)
{
    if (!path.ends_with(ending)) return path;
    return fmt::format("{}-{}{}", path.substr(0, path.size() - ending.size()), id, ending);
}

/// man 3 sd_listen_fds. The child completes LISTEN_PID.
void hand_over_sockets(const Worker& worker, LaunchPlan& plan)
{
    std::string names;
    const auto add = [&](int socket, const std::string& name) {
        plan.fds.push_back(socket);
        names += (names.empty() ? "" : ":") + name;
    };
    for (std::size_t at = 0; at < worker.sockets.size(); ++at)
        add(worker.sockets[at]->fd.get(), worker.app->listeners[at]->address().name);
    if (worker.probe_socket) add(worker.probe_socket.get(), "probe");
    if (names.empty()) return;
    plan.environment.push_back(
        fmt::format("LISTEN_FDS={}", worker.sockets.size() + (worker.probe_socket ? 1 : 0)));
    plan.environment.push_back("LISTEN_FDNAMES=" + names);
    plan.environment.emplace_back("LISTEN_PID=");
}

} // namespace

void Supervisor::name_files(Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    const std::string name = file_name(spec.name);
    const auto log = [&](const std::string& given, std::string_view kind) {
        const std::string path =
            given.empty() ? fmt::format("{}/{}-{}.log", around_.paths.logs, name, kind) : given;
        return spec.merged_logs() ? path : with_number(path, worker.id, ".log");
    };
    worker.out_path = log(spec.out_file, "out");
    worker.err_path = log(spec.error_file, "error");
    worker.log_path.clear();
    if (spec.log_file)
        worker.log_path =
            log(spec.log_file->empty() ? fmt::format("{}/{}.log", around_.paths.logs, name)
                                       : *spec.log_file,
                "");
    worker.pid_path = spec.pid_file.empty()
                          ? fmt::format("{}/{}-{}.pid", around_.paths.pids, name, worker.id)
                          : with_number(spec.pid_file, worker.id, ".pid");
}

std::vector<std::string> Supervisor::log_paths(const Worker& worker)
{
    std::vector<std::string> paths{worker.out_path};
    for (const std::string& path : {worker.err_path, worker.log_path})
        if (!path.empty() && std::ranges::find(paths, path) == paths.end()) paths.push_back(path);
    return paths;
}

std::vector<LogFile> Supervisor::log_files() const
{
    std::vector<LogFile> files;
    std::set<std::string> known; // several workers may write to one
    for (const auto& [key, worker] : rows_)
        for (std::string& path : log_paths(*worker))
            if (path != "/dev/null" && known.insert(path).second)
                files.push_back({.path = std::move(path), .rule = worker->spec().rotate});
    return files;
}

LogPlan Worker::log_plan(StreamKind kind) const
{
    const bool is_out = kind == StreamKind::out;
    return {.path = is_out ? out_path : err_path,
            .combined = log_path,
            .style = {.date_format = spec().log_date_format,
                      .json = spec().log_type == ipc::LogType::json,
                      .error = !is_out,
                      .process_id = id,
                      .app_name = spec().name},
            .on_full = spec().log_on_full};
}

LogFigures log_figures(const Worker& worker)
{
    LogFigures all;
    for (const LogStream* stream : {worker.out.get(), worker.err.get()}) {
        if (!stream) continue;
        const LogFigures one = stream->figures();
        all.bytes += one.bytes;
        all.lost_bytes += one.lost_bytes;
        all.lost_lines += one.lost_lines;
        if (one.trouble.empty()) continue;
        all.trouble = one.trouble;
        all.trouble_since = one.trouble_since;
    }
    return all;
}

WorkerIdentity Supervisor::identity_of(const Worker& worker) const
{
    return {.id = worker.id,
            .number = worker.instance,
            .instances = resolve_instances(worker.spec().instances, cpus_),
            .unique_id = worker.unique_id,
            .home = around_.paths.home,
            .out_file = worker.out_path,
            .error_file = worker.err_path,
            .pid_file = worker.pid_path};
}

/// Each exit, kill and start is a turn of the loop of its own: when hundreds crash or are killed,
/// clients are served in between.
void Supervisor::do_soon(const Worker& worker, Chore::What what)
{
    chores_.push_back({.key = worker.key, .generation = worker.generation, .what = what});
    if (!std::exchange(chore_posted_, true))
        boost::asio::post(around_.loop, [this] { do_one_chore(); });
}

void Supervisor::do_one_chore()
{
    const Chore chore = chores_.front();
    chores_.pop_front();
    // First: what follows may throw the worker away, and must not keep the others from their turn.
    chore_posted_ = !chores_.empty();
    if (chore_posted_) boost::asio::post(around_.loop, [this] { do_one_chore(); });
    Worker* worker = find_row(chore.key);
    if (!worker || worker->generation != chore.generation) return;
    switch (chore.what) {
    case Chore::What::exit:
        return on_exit(*worker);
    case Chore::What::settle:
        if (!worker->alive() && worker->tree != 0)
            settle_exit(*worker, may_leave_something(*worker));
        return;
    case Chore::What::kill:
        if (worker->tree != 0) kill_tree(*worker);
        return;
    case Chore::What::spawn:
        // Stopped, deleted or queued a second time meanwhile: nothing to start.
        if (worker->life.state == State::launching && worker->tree == 0) spawn(*worker);
    }
}

void Supervisor::spawn(Worker& worker)
{
    ++worker.generation;
    worker.tree_killed = false;
    auto identity = look_up_identity(worker.spec().uid, worker.spec().gid);
    if (!identity) return spawn_failed(worker, identity.error());
    worker.user_home = *identity ? (*identity)->home : "";
    if (auto ready = prepare_streams(worker, *identity); !ready)
        return spawn_failed(worker, ready.error());

    LaunchPlan plan = plan_launch(worker, *identity);
    auto out = worker.out->open_for_worker();
    auto err = worker.err->open_for_worker();
    if (!out || !err) return spawn_failed(worker, (out ? err : out).error());
    plan.fds = {null_.get(), out->get(), err->get()};
    if (auto taken = take_sockets(worker); !taken) return spawn_failed(worker, taken.error());
    hand_over_sockets(worker, plan);
    if (auto prepared = prepare_serving(worker, plan, *identity); !prepared)
        return spawn_failed(worker, prepared.error());
    const auto channel = open_node_channel(worker, plan, *identity);
    if (!channel) return spawn_failed(worker, channel.error());
    const auto groups = open_groups(worker);
    if (!groups) return spawn_failed(worker, groups.error());
    for (const ipc::UniqueFd& group : *groups)
        plan.cgroups.push_back(group.get());
    if (worker.adopted) { // the line of a process that another daemon saw end goes no further
        logs_.drain(*worker.out);
        logs_.drain(*worker.err);
    }
    worker.out_since = logs_.size(*worker.out);
    worker.err_since = logs_.size(*worker.err);

    // Whatever happens to us from here on: its descriptors are kept, and its row says that there
    // may be a process of it.
    recorder_->row(worker);
    around_.keeper.flush();
    recorder_->flush();
    auto launched = around_.launcher.launch(plan);
    if (!launched)
        return spawn_failed(worker, launched.error().text,
                            {launched.error().error, std::generic_category()});
    worker.launch_fault.clear();
    worker.pid = worker.tree = launched->pid;
    familiar_.insert(worker.pid);
    worker.adopted = false;
    worker.started_at = around_.clock.now();
    worker.started_wall_ms = around_.clock.wall_ms();
    worker.last_status.reset();
    worker.start_time = 0;
    learn_start_time(worker);
    recorder_->row(worker);
    write_pid_file(worker);
    worker.exit_watch = {exits_, std::move(launched->pidfd)};
    worker.exit_watch.wait(worker.key);
    // Asked of this one alone: over all of them, starting many would take their number squared.
    if (limited_by_looking(worker.spec())) watch_limits();
    start_serving(worker, *identity);
}

ipc::Result<void> Supervisor::prepare_streams(Worker& worker,
                                              const std::optional<Identity>& identity)
{
    if (!null_) {
        auto null = around_.system.open("/dev/null", O_RDONLY);
        if (!null) return std::unexpected(null.error());
        null_ = std::move(*null);
    }
    const std::pair<uid_t, gid_t> owner =
        identity ? std::pair{identity->uid, identity->gid} : std::pair{::geteuid(), ::getegid()};
    const auto prepare = [&](std::unique_ptr<LogStream>& stream,
                             StreamKind kind) -> ipc::Result<void> {
        LogPlan plan = worker.log_plan(kind);
        if (!stream || stream->plan() != plan) {
            auto opened = logs_.open(worker.id, kind, std::move(plan), owner);
            if (!opened) return std::unexpected(opened.error());
            stream = std::move(*opened);
        }
        logs_.set_rule(*stream, worker.spec().rotate);
        return {};
    };
    if (auto out = prepare(worker.out, StreamKind::out); !out) return out;
    if (auto err = prepare(worker.err, StreamKind::err); !err) return err;
    shipping_.attach(worker);
    return {};
}

LaunchPlan Supervisor::plan_launch(const Worker& worker, const std::optional<Identity>& identity)
{
    const ipc::AppSpec& spec = worker.spec();
    LaunchPlan plan;
    if (spec.interpreter.empty() || spec.interpreter == "none") {
        plan.program = spec.script;
        plan.argv = {spec.script};
    } else {
        plan.program = spec.interpreter;
        plan.argv = {spec.interpreter};
        std::ranges::copy(spec.interpreter_args, std::back_inserter(plan.argv));
        plan.argv.push_back(spec.script);
    }
    std::ranges::copy(spec.args, std::back_inserter(plan.argv));

    const ipc::Environment environment = environment_of(worker);
    plan.environment.reserve(environment.size() + 3);
    for (const auto& [name, value] : environment)
        plan.environment.push_back(name + "=" + value);
    plan.cwd = spec.cwd;
    plan.identity = identity;
    plan.umask = spec.umask;
    for (const auto& [name, limit] : spec.rlimits)
        if (const auto resource = ipc::rlimit_resource(name))
            plan.rlimits.emplace_back(*resource, limit);
    // Where no cgroup sees to it, whole CPUs are what is left.
    if (spec.cpu_max > 0 && cgroups_.controller("cpu_max").version == 0) {
        plan.cpus = whole_cpus(spec);
        plan.cpus_from = static_cast<std::size_t>(worker.instance) * plan.cpus;
    }
    plan.nice = spec.nice;
    plan.oom_score_adj = spec.oom_score_adj;
    plan.no_new_privileges = spec.no_new_privileges;
    return plan;
}

void Supervisor::spawn_failed(Worker& worker, const ipc::Error& why)
{
    spawn_failed(worker, why.text(), why.code);
}

void Supervisor::spawn_failed(Worker& worker, std::string why, const std::error_code& code)
{
    const bool passes = may_pass(code);
    // Told once, however often it is tried: hundreds of workers may be short of something for long.
    if (!passes || why != worker.launch_fault)
        around_.log.error(fmt::format("{}:{} {}", worker.spec().name, worker.id, why));
    worker.launch_fault = std::move(why);
    leave_groups(worker);
    happen(worker, passes ? Event::spawn_postponed : Event::spawn_failed);
}

/// A pid file that cannot be written is told and stops nothing: the worker runs. Not opened with
/// O_TRUNC: ext4 writes a file out at once that was truncated to nothing and closed.
void Supervisor::write_pid_file(const Worker& worker)
{
    const std::string pid = std::to_string(worker.pid);
    constexpr int flags = O_WRONLY | O_CREAT;
    auto file = around_.system.open(worker.pid_path, flags, 0644);
    if (!file && file.error().code == std::errc::no_such_file_or_directory) {
        (void)around_.system.make_directories(
            worker.pid_path.substr(0, worker.pid_path.rfind('/')));
        file = around_.system.open(worker.pid_path, flags, 0644);
    }
    if (!file) return around_.log.warn("pid file: " + file.error().text());
    const auto written = around_.system.write(file->get(), pid.data(), pid.size());
    const auto cut = around_.system.ftruncate(file->get(), static_cast<off_t>(pid.size()));
    if (!written || !cut)
        around_.log.warn("pid file " + worker.pid_path + ": " +
                         (written ? cut.error() : written.error()).text());
}

/// Not the file of the other half of a reload, which has the same name.
void Supervisor::remove_pid_file(const Worker& worker)
{
    const Worker* shown = find(worker.id);
    if (!shown || shown == &worker || !shown->alive()) (void)around_.system.unlink(worker.pid_path);
}

} // namespace cluster::supervisor
