// The writing half of state.hpp.
#include "supervisor/daemon/json_object.hpp"
#include "supervisor/daemon/state.hpp"

#include "ipc/wire/attributes.hpp"

#include <unistd.h>

#include <algorithm>
#include <ctime>

#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;

/// The elements of an array: commas are its business.
class Array {
public:
    explicit Array(std::string& out) : out_{out} { out_ += '['; }
    ~Array() { out_ += ']'; }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    std::string& next()
    {
        if (!std::exchange(first_, false)) out_ += ',';
        return out_;
    }
    template <class Number>
    void number(Number value)
    {
        fmt::format_to(std::back_inserter(next()), "{}", value);
    }

private:
    std::string& out_;
    bool first_ = true;
};

/// Members with the value that a reader assumes anyway are left out.
class Sparse {
public:
    explicit Sparse(std::string& out) : object_{out} {}

    template <class Number>
    void number(std::string_view name, Number value)
    {
        if (value != Number{}) object_.number(name, value);
    }
    void time(std::string_view name, milliseconds value) { number(name, value.count()); }
    void text(std::string_view name, std::string_view value)
    {
        if (!value.empty()) object_.text(name, value);
    }
    void flag(std::string_view name, bool value)
    {
        if (value) object_.flag(name, true);
    }
    void value(std::string_view name, const json& any)
    {
        if (!any.is_null() && !any.empty()) object_.value(name, any);
    }
    std::string& key(std::string_view name) { return object_.key(name); }

private:
    Object object_;
};

void write_life(Sparse& row, const Lifecycle& life)
{
    if (life.state != State::stopped) row.text("state", name_of(life.state));
    row.number("after", std::to_underlying(life.after));
    row.number("restarts", life.restarts);
    row.number("unstable_restarts", life.unstable_restarts);
    row.time("previous_delay", life.previous_delay);
}

void write_status(std::string& out, const ipc::ExitStatus& status)
{
    Array pair{out};
    pair.number(status.code);
    pair.number(status.signal);
}

/// An array, left out while it is all zero.
template <class Numbers>
void write_counts(Sparse& row, std::string_view name, const Numbers& counts)
{
    if (std::ranges::all_of(counts, [](auto count) { return count == 0; })) return;
    Array all{row.key(name)};
    for (const auto count : counts)
        all.number(count);
}

void write_counters(Sparse& row, const WorkerRecord& worker)
{
    write_counts(row, "exits_by", worker.exits_by);
    row.number("restarts_at", worker.recent_restarts.saved().newest);
    write_counts(row, "restarts_lately", worker.recent_restarts.saved().parts);
    row.number("cpu_before", worker.cpu_before);
    row.number("cpu_seen", worker.cpu_seen);
}

void write_exits(std::string& out, const std::vector<ExitRecord>& exits)
{
    Array all{out};
    for (const ExitRecord& record : exits) {
        Sparse exit{all.next()};
        exit.number("at", record.at_wall_ms);
        write_status(exit.key("status"), record.status);
        exit.time("uptime", record.uptime);
        exit.text("reason", record.reason);
        if (record.errors.empty()) continue;
        Array lines{exit.key("errors")};
        for (const std::string& line : record.errors)
            append_json(lines.next(), line);
    }
}

void write_process(Sparse& row, const WorkerRecord& worker)
{
    row.number("pid", worker.pid);
    row.number("start_time", worker.start_time);
    row.number("tree", worker.tree);
    row.time("started_at", worker.started_at);
    row.time("online_at", worker.online_at);
    row.time("created_at", worker.created_at);
    row.number("started_wall_ms", worker.started_wall_ms);
    row.number("created_wall_ms", worker.created_wall_ms);
    row.value("groups", worker.groups);
    row.flag("tree_killed", worker.tree_killed);
    row.time("kill_sent_at", worker.kill_sent_at);
    row.time("due_at", worker.due_at);
    row.number("out_since", worker.out_since);
    row.number("err_since", worker.err_since);
    row.flag("incoming", worker.incoming);
    row.flag("must_listen", worker.must_listen);
    row.flag("drained", worker.leave == Leave::drained);
    row.flag("draining", worker.draining);
    row.flag("told", worker.told);
}

void write_row(std::string& out, const Supervisor& supervisor, const Worker& worker)
{
    Sparse row{out};
    row.number("key", worker.key);
    fmt::format_to(std::back_inserter(row.key("id")), "{}", worker.id);
    row.number("app", worker.app->number);
    row.number("instance", worker.instance);
    row.text("unique_id", worker.unique_id);
    row.key("wanted") += is_wanted(worker) ? "true" : "false";
    row.flag("hidden", !supervisor.is_shown(worker));
    row.text("user_home", worker.user_home);
    write_life(row, worker.life);
    write_process(row, worker);
    row.text("cause", worker.cause);
    row.text("launch_fault", worker.launch_fault);
    row.text("unready", worker.unready);
    if (worker.last_status) write_status(row.key("last_status"), *worker.last_status);
    if (!worker.exits.empty()) write_exits(row.key("exits"), worker.exits);
    write_counters(row, worker);
    row.number("out", worker.out ? worker.out->inode() : 0);
    row.number("err", worker.err ? worker.err->inode() : 0);
    row.number("probe", worker.probe_kept.inode());
    if (!worker.sockets.empty()) {
        Array sockets{row.key("sockets")};
        for (const auto& socket : worker.sockets)
            sockets.number(socket ? socket->kept.inode() : 0);
    }
    if (worker.node) row.value("node", worker.node->saved());
    if (worker.serving) row.value("serving", worker.serving->saved());
}

void write_listeners(std::string& out, const Supervisor& supervisor)
{
    Array all{out};
    for (const auto& listener : supervisor.listeners()) {
        Sparse one{all.next()};
        one.text("address", listener->address().text);
        Array sockets{one.key("sockets")};
        for (const auto& socket : listener->sockets()) {
            Sparse entry{sockets.next()};
            entry.number("inode", socket->kept.inode());
            entry.flag("live", socket->live);
        }
    }
}

void write_node(std::string& out, const Supervisor& supervisor)
{
    Sparse all{out};
    for (const auto& [app, known] : supervisor.node_handles())
        if (const auto handles = known.lock()) all.value(app, handles->saved());
}

void write_reloads(std::string& out, const std::vector<Reloads::Order>& orders)
{
    Array all{out};
    for (const Reloads::Order& order : orders) {
        Sparse one{all.next()};
        one.text("name", order.name);
        one.number("app", order.app ? order.app->number : 0);
        one.text("cause", order.cause);
        Array ids{one.key("ids")};
        for (const int id : order.ids)
            ids.number(id);
    }
}

void write_held(std::string& out, const std::vector<Ordering::Held>& held)
{
    const std::set<std::uint64_t>* written = nullptr; // of one request they have the same
    Array all{out};
    for (const Ordering::Held& one : held) {
        Sparse entry{all.next()};
        entry.number("key", one.key);
        entry.text("event", name_of(one.event));
        entry.text("cause", one.cause);
        if (!one.before) continue;
        entry.flag("as_before", written == one.before.get());
        if (std::exchange(written, one.before.get()) == one.before.get()) continue;
        Array before{entry.key("before")};
        for (const std::uint64_t key : *one.before)
            before.number(key);
    }
}

void write_under_way(Sparse& state, const UnderWay& under_way)
{
    write_reloads(state.key("reloads"), under_way.reloads);
    write_held(state.key("held"), under_way.held);
    if (under_way.ending != Ending::none)
        state.text("ending", under_way.ending == Ending::kill ? "kill" : "stop");
}

/// As man 5 proc counts the start times of processes.
std::uint64_t ticks_since_boot()
{
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return static_cast<std::uint64_t>(now.tv_sec) * per_second +
           static_cast<std::uint64_t>(now.tv_nsec) * per_second / 1'000'000'000;
}

/// Apps, after the environments that they need and that are new.
void write_apps(Sparse& state, const std::vector<std::shared_ptr<const App>>& apps,
                EnvironmentNumbers& numbers)
{
    std::vector<std::uint64_t> of_app;
    {
        Array environments{state.key("environments")};
        for (const auto& app : apps) {
            const auto [number, fresh] = numbers.of(app->inherited);
            of_app.push_back(number);
            if (!fresh) continue;
            Sparse one{environments.next()};
            one.number("number", number);
            Object values{one.key("values")};
            for (const auto& [name, value] : *app->inherited)
                values.text(name, value);
        }
    }
    Array all{state.key("apps")};
    for (std::size_t at = 0; at < apps.size(); ++at) {
        Sparse one{all.next()};
        one.number("number", apps[at]->number);
        one.value("spec", ipc::to_json(apps[at]->spec));
        one.number("environment", of_app[at]);
    }
}

} // namespace

bool is_wanted(const Worker& worker)
{
    const State now = worker.life.state;
    return !worker.waits_for.empty() || (now != State::stopped && now != State::stopping) ||
           worker.life.after == After::start;
}

std::pair<std::uint64_t, bool>
EnvironmentNumbers::of(const std::shared_ptr<const ipc::Environment>& environment)
{
    const auto [entry, fresh] = numbers_.try_emplace(environment, numbers_.size() + 1);
    return {entry->second, fresh};
}

std::string state_text(const Supervisor& supervisor, const UnderWay& under_way,
                       EnvironmentNumbers& numbers)
{
    std::map<std::uint64_t, std::shared_ptr<const App>> apps;
    const auto add = [&](const std::shared_ptr<const App>& app) { apps.emplace(app->number, app); };
    for (const Worker* worker : supervisor.rows())
        add(worker->app);
    for (const Reloads::Order& order : under_way.reloads)
        if (order.app) add(order.app);
    std::vector<std::shared_ptr<const App>> all_apps;
    for (const auto& [number, app] : apps)
        all_apps.push_back(app);

    std::string out;
    {
        Sparse state{out};
        state.number("version", kStateVersion);
        state.number("readable_by", kStateReadableBy);
        state.text("boot_id", supervisor.boot_id());
        state.number("written_at", ticks_since_boot());
        state.number("next_id", supervisor.next_id());
        state.number("log_stage", supervisor.logs().stage_inode());
        write_apps(state, all_apps, numbers);
        {
            Array rows{state.key("workers")};
            for (const Worker* worker : supervisor.rows())
                write_row(rows.next(), supervisor, *worker);
        }
        write_listeners(state.key("listeners"), supervisor);
        write_node(state.key("node"), supervisor);
        write_under_way(state, under_way);
    }
    return out += '\n';
}

std::string change_text(const Supervisor& supervisor, const StateChange& change,
                        EnvironmentNumbers& numbers)
{
    std::string out;
    {
        Sparse state{out};
        fmt::format_to(std::back_inserter(state.key("next_id")), "{}", supervisor.next_id());
        if (!change.apps.empty()) write_apps(state, change.apps, numbers);
        if (!change.rows.empty()) {
            state.number("log_stage", supervisor.logs().stage_inode());
            Array rows{state.key("workers")};
            for (const Worker* worker : change.rows)
                write_row(rows.next(), supervisor, *worker);
        }
        if (!change.removed.empty()) {
            Array removed{state.key("removed")};
            for (const std::uint64_t key : change.removed)
                removed.number(key);
        }
        if (change.listeners) write_listeners(state.key("listeners"), supervisor);
        if (change.node) write_node(state.key("node"), supervisor);
        if (change.under_way) write_under_way(state, *change.under_way);
    }
    return out += '\n';
}

} // namespace cluster::supervisor
