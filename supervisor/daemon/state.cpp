// The reading half of state.hpp.
#include "supervisor/daemon/state.hpp"

#include "ipc/wire/attributes.hpp"
#include "ipc/wire/rpc.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::json;

template <class Value>
void read(const json& from, const char* name, Value& into)
{
    if (const auto found = from.find(name); found != from.end()) into = found->get<Value>();
}

void read(const json& from, const char* name, milliseconds& into)
{
    milliseconds::rep count = into.count();
    read(from, name, count);
    into = milliseconds{count};
}

/// The enumerator of this name; the first of `known` is assumed when the name is a stranger's.
template <class Enum, std::size_t Size>
Enum named(std::string_view name, const Enum (&known)[Size])
{
    for (const Enum value : known)
        if (name_of(value) == name) return value;
    return known[0];
}

constexpr State kStates[] = {State::stopped,  State::launching,       State::online,
                             State::stopping, State::waiting_restart, State::errored};
constexpr Event kHeldEvents[] = {Event::start_asked, Event::restart_asked, Event::stop_asked,
                                 Event::delete_asked};

Lifecycle read_life(const json& row)
{
    Lifecycle life;
    life.state = named(row.value("state", std::string{"stopped"}), kStates);
    const int after = row.value("after", 0);
    if (after == std::to_underlying(After::start)) life.after = After::start;
    if (after == std::to_underlying(After::remove)) life.after = After::remove;
    read(row, "restarts", life.restarts);
    read(row, "unstable_restarts", life.unstable_restarts);
    read(row, "previous_delay", life.previous_delay);
    return life;
}

ipc::ExitStatus read_status(const json& pair)
{
    return {.code = pair.at(0).get<int>(), .signal = pair.at(1).get<int>()};
}

std::vector<ExitRecord> read_exits(const json& exits)
{
    std::vector<ExitRecord> all;
    for (const json& from : exits) {
        ExitRecord& exit = all.emplace_back();
        read(from, "at", exit.at_wall_ms);
        exit.status = read_status(from.at("status"));
        read(from, "uptime", exit.uptime);
        read(from, "reason", exit.reason);
        read(from, "errors", exit.errors);
    }
    return all;
}

void read_process(const json& row, WorkerRecord& into)
{
    read(row, "pid", into.pid);
    read(row, "start_time", into.start_time);
    read(row, "tree", into.tree);
    read(row, "started_at", into.started_at);
    read(row, "online_at", into.online_at);
    read(row, "created_at", into.created_at);
    read(row, "started_wall_ms", into.started_wall_ms);
    read(row, "created_wall_ms", into.created_wall_ms);
    read(row, "groups", into.groups);
    read(row, "tree_killed", into.tree_killed);
    read(row, "kill_sent_at", into.kill_sent_at);
    read(row, "due_at", into.due_at);
    read(row, "out_since", into.out_since);
    read(row, "err_since", into.err_since);
    read(row, "incoming", into.incoming);
    read(row, "must_listen", into.must_listen);
    if (row.value("drained", false)) into.leave = Leave::drained;
    read(row, "draining", into.draining);
    read(row, "told", into.told);
}

/// As many as there are: another version may count more or fewer.
template <class Numbers>
void read_counts(const json& row, const char* name, Numbers& into)
{
    const auto counts = row.value(name, std::vector<typename Numbers::value_type>{});
    std::copy_n(counts.begin(), std::min(counts.size(), into.size()), into.begin());
}

void read_counters(const json& row, WorkerRecord& into)
{
    read_counts(row, "exits_by", into.exits_by);
    RecentCount::Saved restarts;
    read(row, "restarts_at", restarts.newest);
    read_counts(row, "restarts_lately", restarts.parts);
    into.recent_restarts = RecentCount{restarts};
    read(row, "cpu_before", into.cpu_before);
    read(row, "cpu_seen", into.cpu_seen);
}

SavedWorker read_row(const json& row)
{
    SavedWorker saved;
    KnownWorker& known = saved.known;
    WorkerRecord& record = known.record;
    row.at("key").get_to(record.key);
    read(row, "id", record.id);
    row.at("app").get_to(saved.app);
    read(row, "instance", record.instance);
    read(row, "unique_id", record.unique_id);
    read(row, "wanted", saved.wanted);
    read(row, "hidden", known.hidden);
    read(row, "user_home", record.user_home);
    record.life = read_life(row);
    read_process(row, record);
    read(row, "cause", record.cause);
    read(row, "launch_fault", record.launch_fault);
    read(row, "unready", record.unready);
    if (row.contains("last_status")) record.last_status = read_status(row.at("last_status"));
    if (row.contains("exits")) record.exits = read_exits(row.at("exits"));
    read_counters(row, record);
    read(row, "out", known.out);
    read(row, "err", known.err);
    read(row, "probe", known.probe);
    read(row, "sockets", known.sockets);
    read(row, "node", known.node);
    read(row, "serving", known.serving);
    return saved;
}

SavedApp read_app(const json& entry)
{
    ipc::Diagnostics diagnostics;
    auto spec = ipc::parse_app(entry.at("spec"), {}, diagnostics);
    if (!spec) throw std::runtime_error(diagnostics.front().text());
    return {.spec = std::move(*spec), .environment = entry.at("environment").get<std::uint64_t>()};
}

std::vector<KnownListener> read_listeners(const json& listeners)
{
    std::vector<KnownListener> all;
    for (const json& entry : listeners) {
        KnownListener& listener = all.emplace_back();
        entry.at("address").get_to(listener.address);
        for (const json& socket : entry.at("sockets"))
            listener.sockets.push_back({.inode = socket.value("inode", std::uint64_t{0}),
                                        .live = socket.value("live", false)});
    }
    return all;
}

std::vector<SavedReload> read_reloads(const json& reloads)
{
    std::vector<SavedReload> all;
    for (const json& entry : reloads) {
        SavedReload& reload = all.emplace_back();
        entry.at("name").get_to(reload.name);
        entry.at("ids").get_to(reload.ids);
        read(entry, "app", reload.app);
        read(entry, "cause", reload.cause);
    }
    return all;
}

std::vector<Ordering::Held> read_held(const json& held)
{
    std::vector<Ordering::Held> all;
    std::shared_ptr<const std::set<std::uint64_t>> last;
    for (const json& entry : held) {
        Ordering::Held& one = all.emplace_back();
        entry.at("key").get_to(one.key);
        one.event = named(entry.at("event").get<std::string>(), kHeldEvents);
        read(entry, "cause", one.cause);
        if (const auto before = entry.find("before"); before != entry.end())
            last = std::make_shared<const std::set<std::uint64_t>>(
                before->get<std::set<std::uint64_t>>());
        if (entry.contains("before") || entry.value("as_before", false)) one.before = last;
    }
    return all;
}

/// What `part` says is true from now on.
void merge(SavedState& state, const json& part)
{
    const json none = json::array();
    const auto list = [&](const char* name) -> const json& {
        const auto found = part.find(name);
        return found == part.end() ? none : *found;
    };
    read(part, "boot_id", state.boot_id);
    read(part, "written_at", state.written_at);
    read(part, "next_id", state.next_id);
    read(part, "log_stage", state.log_stage);
    for (const json& entry : list("environments"))
        state.environments[entry.at("number").get<std::uint64_t>()] =
            std::make_shared<const ipc::Environment>(entry.at("values").get<ipc::Environment>());
    for (const json& entry : list("apps"))
        state.apps[entry.at("number").get<std::uint64_t>()] = read_app(entry);
    for (const json& entry : list("workers")) {
        SavedWorker row = read_row(entry);
        state.workers[row.known.record.key] = std::move(row);
    }
    for (const json& key : list("removed"))
        state.workers.erase(key.get<std::uint64_t>());
    if (part.contains("listeners")) state.listeners = read_listeners(part.at("listeners"));
    read(part, "node", state.node);
    if (part.contains("reloads")) state.reloads = read_reloads(part.at("reloads"));
    if (part.contains("held")) state.held = read_held(part.at("held"));
    const std::string ending = part.value("ending", std::string{});
    if (ending == "kill") state.ending = Ending::kill;
    if (ending == "stop") state.ending = Ending::stop;
}

/// Version 1: lists without numbers, and nothing about processes.
SavedState read_version_1(const json& state)
{
    SavedState saved;
    saved.version = 1;
    for (const json& entry : state.at("environments"))
        saved.environments[saved.environments.size()] =
            std::make_shared<const ipc::Environment>(entry.get<ipc::Environment>());
    for (const json& entry : state.at("apps"))
        saved.apps[saved.apps.size()] = read_app(entry);
    for (const json& entry : state.at("workers")) {
        SavedWorker row;
        WorkerRecord& record = row.known.record;
        record.key = saved.workers.size() + 1;
        entry.at("id").get_to(record.id);
        entry.at("app").get_to(row.app);
        entry.at("instance").get_to(record.instance);
        entry.at("unique_id").get_to(record.unique_id);
        entry.at("wanted").get_to(row.wanted);
        entry.at("restarts").get_to(record.life.restarts);
        saved.workers[record.key] = std::move(row);
    }
    return saved;
}

/// Every reference leads somewhere, and no two rows are shown in one place.
void check(const SavedState& state)
{
    std::set<int> shown;
    for (const auto& [key, worker] : state.workers)
        if (!worker.known.hidden && !shown.insert(worker.known.record.id).second)
            throw std::runtime_error("two workers have one id");
    for (const auto& [number, app] : state.apps)
        if (!state.environments.contains(app.environment))
            throw std::runtime_error("an app refers to an environment that is not there");
    for (const auto& [key, worker] : state.workers)
        if (!state.apps.contains(worker.app))
            throw std::runtime_error("a worker refers to an app that is not there");
}

/// Apps and environments that nobody refers to any more.
void tidy(SavedState& state)
{
    std::set<std::uint64_t> apps;
    std::set<std::uint64_t> environments;
    for (const auto& [key, worker] : state.workers)
        apps.insert(worker.app);
    for (const SavedReload& reload : state.reloads)
        apps.insert(reload.app);
    std::erase_if(state.apps, [&](const auto& app) { return !apps.contains(app.first); });
    for (const auto& [number, app] : state.apps)
        environments.insert(app.environment);
    std::erase_if(state.environments,
                  [&](const auto& known) { return !environments.contains(known.first); });
}

/// What is read has whole numbers only, and to convert 1e30 to one is undefined: null is none, and
/// refused where it is read. Not so what an app declares, which parse_app checks. A later version
/// may well have fractions in members of its own.
void drop_fractions(json& value, bool declared = false, int depth = 0)
{
    constexpr int kDepth = 100; // more than any of ours has; this here is recursive
    if (depth > kDepth) throw std::runtime_error("it is nested too deeply");
    if (value.is_number_float() && !declared) value = nullptr;
    if (!value.is_structured()) return;
    for (const auto& [name, inner] : value.items())
        drop_fractions(inner, declared || name == "spec", depth + 1);
}

json parse_line(std::string_view text)
{
    json line = json::parse(text);
    drop_fractions(line);
    return line;
}

SavedState read_text(std::string_view text)
{
    const auto first_end = std::min(text.find('\n'), text.size());
    const json first = parse_line(text.substr(0, first_end));
    const json version = first.at("version");
    if (version == 1) {
        SavedState state = read_version_1(first);
        check(state);
        return state;
    }
    const int needed = first.value("readable_by", version.get<int>());
    if (needed > kStateVersion)
        throw std::runtime_error("its version is " + ipc::dump(version) +
                                 ", this daemon reads up to " + std::to_string(kStateVersion));
    SavedState state;
    state.version = version.get<int>();
    if (!first.at("workers").is_array()) // a whole snapshot, never a part alone
        throw std::runtime_error("workers must be a list, got " + ipc::dump(first.at("workers")));
    merge(state, first);
    text.remove_prefix(std::min(first_end + 1, text.size()));
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
        merge(state, parse_line(text.substr(0, end)));
        text.remove_prefix(end + 1);
    }
    check(state);
    tidy(state);
    return state;
}

} // namespace

std::expected<SavedState, std::string> parse_state(std::string_view text)
{
    try {
        return read_text(text);
    } catch (const std::exception& error) {
        return std::unexpected(std::string{error.what()});
    }
}

} // namespace cluster::supervisor
