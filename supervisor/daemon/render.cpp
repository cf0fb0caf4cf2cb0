#include "supervisor/daemon/render.hpp"

#include "ipc/wire/attributes.hpp"
#include "ipc/wire/cron.hpp"
#include "supervisor/core/cron_time.hpp"
#include "supervisor/daemon/json_object.hpp"

#include <fmt/format.h>

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>

namespace cluster::supervisor {
namespace {

using ipc::json;

/// null for what ended by a signal, or unseen.
json exit_code_of(const ipc::ExitStatus& status)
{
    return status.signal == 0 && status != ipc::kUnknownExit ? json(status.code) : json{};
}

std::string user_name(uid_t uid)
{
    static std::map<uid_t, std::string> known; // NSS may ask a server
    const auto [entry, fresh] = known.try_emplace(uid);
    if (fresh) {
        const passwd* user = ::getpwuid(uid);
        entry->second = user ? user->pw_name : std::to_string(uid);
    }
    return entry->second;
}

std::string user_of(const Worker& worker)
{
    return worker.spec().uid.empty() ? user_name(::geteuid()) : worker.spec().uid;
}

std::string_view mode_of(const Worker& worker)
{
    return worker.spec().exec_mode == ipc::ExecMode::cluster ? "cluster" : "fork";
}

/// Up, as it declares that, and not known to be ill.
bool is_ready(const Worker& worker)
{
    return worker.life.state == State::online && !(worker.serving && worker.serving->failing());
}

/// Why the files of its logs are not rotated as declared; "" they are.
std::string log_fault(Supervisor& supervisor, const Worker& worker)
{
    for (const std::string& path : Supervisor::log_paths(worker))
        if (std::string fault = supervisor.rotation().fault(path); !fault.empty()) return fault;
    return "";
}

void process_members(Object& object, Supervisor& supervisor, const Worker& worker)
{
    const Usage usage = supervisor.usage(worker);
    object.number("id", worker.id);
    object.text("name", worker.spec().name);
    object.text("namespace", worker.spec().name_space);
    object.text("version", worker.app->version);
    object.text("mode", mode_of(worker));
    object.number("pid", worker.pid);
    object.text("status", name_of(worker.life.state));
    object.flag("ready", is_ready(worker));
    object.number("restarts", worker.life.restarts);
    object.number("unstable_restarts", worker.life.unstable_restarts);
    object.number("started_at", worker.started_wall_ms);
    object.number("created_at", worker.created_wall_ms);
    object.raw("cpu", fmt::format("{:.1f}", usage.cpu));
    object.number("memory", usage.memory);
    object.text("user", user_of(worker));
    object.number("instance", worker.instance);
    object.flag("watching", false);
    if (!worker.spec().cron_restart.empty())
        object.text("cron_restart", worker.spec().cron_restart);
    const auto& status = worker.last_status;
    object.value("exit_code", status ? exit_code_of(*status) : json{});
    object.value("exit_signal", status && status->signal != 0 ? json(status->signal) : json{});
}

/// When the clock restarts it next; null: never.
json next_restart(const ipc::AppSpec& spec, std::int64_t now_ms)
{
    const auto pattern = ipc::parse_cron(spec.cron_restart);
    const auto due = pattern ? next_cron_time(*pattern, now_ms) : std::nullopt;
    return due ? json(*due) : json{};
}

json exits_json(const Worker& worker)
{
    json exits = json::array();
    for (const ExitRecord& exit : worker.exits) {
        exits.push_back({{"at", exit.at_wall_ms},
                         {"code", exit_code_of(exit.status)},
                         {"signal", exit.status.signal != 0 ? json(exit.status.signal) : json{}},
                         {"reason", exit.reason},
                         {"uptime_ms", exit.uptime.count()},
                         {"stderr", exit.errors}});
    }
    return exits;
}

/// The keys of pm2_env that are not copies of environment variables.
bool is_pm2_key(std::string_view name)
{
    static constexpr std::string_view keys[] = {
        "args",         "autorestart",      "autostart",          "created_at",
        "env",          "exec_interpreter", "exec_mode",          "exit_code",
        "filter_env",   "instance_var",     "instances",          "kill_retry_time",
        "kill_timeout", "km_link",          "max_memory_restart", "merge_logs",
        "name",         "namespace",        "node_args",          "node_version",
        "pm_cwd",       "pm_err_log_path",  "pm_exec_path",       "pm_id",
        "pm_log_path",  "pm_out_log_path",  "pm_pid_path",        "pm_uptime",
        "pmx",          "automation",       "restart_time",       "status",
        "treekill",     "unique_id",        "unstable_restarts",  "username",
        "version",      "vizion",           "vizion_running",     "watch",
        "windowsHide",  "axm_actions",      "axm_dynamic",        "axm_monitor",
        "axm_options",  "cron_restart"};
    return std::ranges::find(keys, name) != std::end(keys);
}

/// What a worker is told of itself. PM2 shows it in pm2_env alone and not in pm2_env.env, and
/// scripts count how often it is there.
bool is_own_variable(std::string_view name, const ipc::AppSpec& spec)
{
    static constexpr std::string_view names[] = {
        "exec_interpreter", "exec_mode",       "instances",       "name",
        "namespace",        "pm_cwd",          "pm_err_log_path", "pm_id",
        "pm_exec_path",     "pm_out_log_path", "pm_pid_path"};
    return name == spec.instance_var || std::ranges::find(names, name) != std::end(names);
}

void pm2_policy(Object& object, const Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    object.flag("autostart", spec.autostart);
    object.flag("autorestart", spec.autorestart);
    object.flag("watch", false);
    object.text("instance_var", spec.instance_var);
    object.flag("pmx", false);
    object.flag("automation", false);
    object.flag("treekill", spec.treekill);
    object.text("username", user_of(worker));
    object.flag("windowsHide", true);
    object.number("kill_retry_time", 100);
    if (spec.max_memory_restart > 0) object.number("max_memory_restart", spec.max_memory_restart);
    if (!spec.cron_restart.empty()) object.text("cron_restart", spec.cron_restart);
    object.number("kill_timeout", spec.kill_timeout.count());
}

void pm2_environment(Object& object, Supervisor& supervisor, const Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    const ipc::Environment environment = supervisor.environment_of(worker);
    object.text("name", spec.name);
    object.value("filter_env", spec.inherit_env ? json(spec.filter_env) : json(true));
    object.text("namespace", spec.name_space);
    object.value("args", spec.args);
    {
        Object env{object.key("env")};
        for (const auto& [name, value] : environment)
            if (!is_own_variable(name, spec)) env.text(name, value);
    }
    object.flag("merge_logs", spec.merged_logs());
    object.number("instances", resolve_instances(spec.instances, supervisor.cpus()));
    object.flag("vizion", false);
    pm2_policy(object, worker);
    object.value("node_args", spec.interpreter_args);
    object.text("pm_exec_path", spec.script);
    object.text("pm_cwd", spec.cwd);
    object.text("exec_interpreter", spec.interpreter.empty() ? "none" : spec.interpreter);
    object.text("exec_mode",
                spec.exec_mode == ipc::ExecMode::cluster ? "cluster_mode" : "fork_mode");
    object.text("pm_out_log_path", worker.out_path);
    object.text("pm_err_log_path", worker.err_path);
    if (!worker.log_path.empty()) object.text("pm_log_path", worker.log_path);
    object.text("pm_pid_path", worker.pid_path);
    object.flag("km_link", false);
    object.flag("vizion_running", false);
    const auto number = environment.find(spec.instance_var); // first, as PM2 has it
    if (number != environment.end() && !is_pm2_key(number->first))
        object.number(number->first, worker.instance);
    for (auto entry = environment.begin(); entry != environment.end(); ++entry) {
        if (entry != number && !is_pm2_key(entry->first)) object.text(entry->first, entry->second);
    }
}

} // namespace

void append_process(std::string& out, Supervisor& supervisor, const Worker& worker)
{
    Object object{out};
    process_members(object, supervisor, worker);
}

/// What it may take, who sees to that, and what came of it.
json limits_json(Supervisor& supervisor, const Worker& worker)
{
    const json declared = ipc::to_json(worker.spec());
    json all = json::object();
    for (const Supervisor::Limit& limit : supervisor.limits(worker)) {
        const std::string name{limit.attribute};
        all[name] = {{"value", declared.at(name)}, {"by", limit.by}};
    }
    for (const char* name : {"rlimits", "nice", "oom_score_adj", "no_new_privileges"})
        if (declared.contains(name)) all[name] = {{"value", declared.at(name)}, {"by", "kernel"}};
    if (worker.groups.empty()) return all;
    const GroupEvents events = group_events(supervisor.system(), worker.groups);
    all["events"] = {{"out_of_memory", events.out_of_memory},
                     {"refused_forks", events.refused_forks},
                     {"throttled_ms", events.throttled_ms}};
    return all;
}

/// Where its lines go besides the files, and how that stands. Lines are of all who use the sink.
json sinks_json(Supervisor& supervisor, const Worker& worker)
{
    json all = json::array();
    for (const auto& [name, figures] : supervisor.shipping().figures()) {
        if (std::ranges::count(worker.spec().log_sinks, name) == 0) continue;
        all.push_back({{"sink", name},
                       {"connected", figures.connected},
                       {"sent", figures.sent},
                       {"lost", figures.lost},
                       {"waiting_bytes", figures.waiting},
                       {"trouble", figures.trouble}});
    }
    return all;
}

/// What has become of its output since this daemon serves.
json logs_json(const Worker& worker)
{
    const LogFigures all = log_figures(worker);
    json logs = {{"bytes", all.bytes},
                 {"lost_bytes", all.lost_bytes},
                 {"lost_lines", all.lost_lines},
                 {"trouble", all.trouble}};
    if (all.trouble_since != 0) logs["trouble_since"] = all.trouble_since;
    return logs;
}

void append_description(std::string& out, Supervisor& supervisor, const Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    Object object{out};
    process_members(object, supervisor, worker);
    object.text("script", spec.script);
    object.value("args", spec.args);
    object.text("interpreter", spec.interpreter.empty() ? "none" : spec.interpreter);
    object.value("interpreter_args", spec.interpreter_args);
    object.text("cwd", spec.cwd);
    object.text("out_file", worker.out_path);
    object.text("error_file", worker.err_path);
    object.text("log_file", worker.log_path);
    object.value("logs", logs_json(worker));
    object.text("pid_file", worker.pid_path);
    object.text("log_fault", log_fault(supervisor, worker));
    json listen = json::array();
    for (const auto& address : spec.listen)
        listen.push_back(address.text);
    object.value("listen", listen);
    const char* signal = ::sigabbrev_np(spec.kill_signal);
    object.text("kill_signal",
                signal ? std::string{"SIG"} + signal : std::to_string(spec.kill_signal));
    object.number("kill_timeout_ms", spec.kill_timeout.count());
    object.number("max_memory_restart", spec.max_memory_restart);
    object.value("cron_next_at", next_restart(spec, supervisor.clock().wall_ms()));
    object.number("max_restarts", spec.max_restarts);
    object.number("min_uptime_ms", spec.min_uptime.count());
    object.flag("autorestart", spec.autorestart);
    object.value("env_declared", spec.env);
    object.text("cause", worker.cause);
    object.text("fault", worker.launch_fault.empty() ? worker.unready : worker.launch_fault);
    object.text("waits_for", worker.waits_for);
    object.text("health", worker.serving ? worker.serving->health() : "");
    object.text("status_text", worker.serving ? worker.serving->status() : "");
    object.value("addresses", supervisor.addresses(worker));
    object.value("unsupported", spec.unsupported);
    object.value("limits", limits_json(supervisor, worker));
    object.value("log_sinks", sinks_json(supervisor, worker));
    std::vector<pid_t> tree = supervisor.tree(worker);
    object.number("memory_pss", proportional_memory(supervisor.system(), tree));
    if (const auto bytes = group_memory(supervisor.system(), worker.groups))
        object.number("memory_cgroup", *bytes);
    object.number("restarts_last_hour",
                  worker.recent_restarts.within_hour(supervisor.clock().wall_ms()));
    std::erase(tree, worker.pid);
    object.value("children", tree);
    object.value("last_exits", exits_json(worker));
}

void append_pm2(std::string& out, Supervisor& supervisor, const Worker& worker)
{
    const Usage usage = supervisor.usage(worker);
    Object object{out};
    object.number("pid", worker.pid);
    object.text("name", worker.spec().name);
    {
        Object env{object.key("pm2_env")};
        pm2_environment(env, supervisor, worker);
        env.text("unique_id", worker.unique_id);
        env.text("status", name_of(worker.life.state));
        env.number("pm_uptime", worker.started_wall_ms);
        env.raw("axm_actions", "[]");
        env.raw("axm_monitor", "{}");
        env.raw("axm_options", "{}");
        env.raw("axm_dynamic", "{}");
        env.number("created_at", worker.created_wall_ms);
        env.number("pm_id", worker.id);
        env.number("restart_time", worker.life.restarts);
        env.number("unstable_restarts", worker.life.unstable_restarts);
        env.text("version", worker.app->version);
        env.text("node_version", "N/A");
        if (worker.last_status) env.number("exit_code", worker.last_status->code);
    }
    object.number("pm_id", worker.id);
    Object monit{object.key("monit")};
    monit.number("memory", usage.memory);
    monit.raw("cpu", fmt::format("{:.1f}", usage.cpu));
}

std::string processes_text(Supervisor& supervisor, const std::vector<int>& ids)
{
    std::string out = R"({"processes":[)";
    for (const int id : ids) {
        const Worker* worker = supervisor.find(id);
        if (!worker) continue;
        if (out.back() == '}') out += ',';
        append_process(out, supervisor, *worker);
    }
    return out + "]}";
}

json failures_json(const std::vector<WaitFailure>& failures)
{
    json all = json::array();
    for (const WaitFailure& failure : failures) {
        const auto& status = failure.status;
        all.push_back({{"id", failure.id},
                       {"name", failure.name},
                       {"stage", failure.stage},
                       {"reason", failure.reason},
                       {"exit_code", status ? exit_code_of(*status) : json{}},
                       {"signal", status && status->signal != 0 ? json(status->signal) : json{}},
                       {"stderr", failure.errors}});
    }
    return all;
}

} // namespace cluster::supervisor
