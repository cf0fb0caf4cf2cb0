#include "supervisor/daemon/doctor.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/engine/node_saved.hpp"
#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/process_table.hpp"

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace cluster::supervisor {
namespace {

using enum Grade;

/// What a guardian has open for itself: its channel, the listener of the daemon, Asio's own.
constexpr std::size_t kGuardiansOwn = 8;

std::string label(const SavedState& state, const SavedWorker& row)
{
    const auto app = state.apps.find(row.app);
    return fmt::format("[{}]({})", app == state.apps.end() ? "?" : app->second.spec.name,
                       row.known.record.id);
}

/// One finding that all is well, unless something was found since `before`.
void add_fine(std::size_t before, const char* check, std::string what, Findings& into)
{
    if (into.size() == before) into.push_back({.check = check, .what = std::move(what)});
}

/// The pipes and sockets that a process has open; empty when we may not look.
std::optional<std::set<std::uint64_t>> open_inodes(ipc::System& system, pid_t pid)
{
    const std::string folder = fmt::format("/proc/{}/fd", pid);
    const auto names = system.list_directory(folder);
    if (!names) return std::nullopt;
    std::set<std::uint64_t> inodes;
    for (const std::string& name : *names) {
        const auto link = system.readlink(folder + "/" + name);
        if (!link) continue; // closed meanwhile
        if (const auto inode = inode_in(*link)) inodes.insert(*inode);
    }
    return inodes;
}

/// Everything that a manager after us would ask the guardian for.
std::set<std::uint64_t> inodes_of(const SavedState& state)
{
    std::set<std::uint64_t> inodes;
    const auto add = [&](const std::vector<std::uint64_t>& more) {
        inodes.insert(more.begin(), more.end());
    };
    for (const auto& [key, row] : state.workers) {
        add({row.known.out, row.known.err, row.known.probe});
        add(row.known.sockets);
        add(kept_inodes(row.known.node));
        add(kept_inodes(row.known.serving));
    }
    for (const KnownListener& listener : state.listeners)
        for (const KnownListener::Socket& socket : listener.sockets)
            inodes.insert(socket.inode);
    add(kept_inodes(state.node));
    inodes.erase(0);
    return inodes;
}

using RowIdentity = std::tuple<int, std::string, bool>;

/// Id, app and whether it shall run: what a reboot needs.
std::set<RowIdentity> wanted_in(const SavedState& state)
{
    std::set<RowIdentity> wanted;
    for (const auto& [key, row] : state.workers) {
        if (row.known.hidden) continue;
        const auto app = state.apps.find(row.app);
        wanted.emplace(row.known.record.id, app == state.apps.end() ? "" : app->second.spec.name,
                       row.wanted);
    }
    return wanted;
}

/// The row's own processes: those that carry its mark and come from its first one.
std::set<pid_t> family_of(const WorkerRecord& record, const std::vector<MarkedProcess>& marked)
{
    std::set<pid_t> family{record.pid};
    for (bool grown = true; std::exchange(grown, false);)
        for (const MarkedProcess& process : marked)
            if (family.contains(process.stat.parent) && family.insert(process.stat.pid).second)
                grown = true;
    return family;
}

void check_worker_sockets(ipc::System& system, const SavedState& now, const SavedWorker& row,
                          Findings& into)
{
    const WorkerRecord& record = row.known.record;
    // A Node worker asks for its sockets when it wants them.
    if (record.pid == 0 || record.life.state != State::online || !row.known.node.is_null()) return;
    const auto open = open_inodes(system, record.pid);
    if (!open) return;
    for (const std::uint64_t inode : row.known.sockets) {
        if (inode == 0 || open->contains(inode)) continue;
        into.push_back({.grade = warning,
                        .check = "sockets",
                        .what = fmt::format("{} has closed a socket that it was given; it gets no "
                                            "connections from there",
                                            label(now, row)),
                        .where = fmt::format("pid {}", record.pid),
                        .advice = "restart it, or take the address out of `listen`"});
    }
}

} // namespace

std::string_view name_of(Grade grade)
{
    switch (grade) {
    case ok:
        return "ok";
    case warning:
        return "warning";
    case problem:
        return "problem";
    }
    return "problem";
}

void check_processes(ipc::System& system, const SavedState& now, Findings& into)
{
    const std::size_t before = into.size();
    std::size_t alive = 0;
    for (const auto& [key, row] : now.workers) {
        const WorkerRecord& record = row.known.record;
        if (record.pid == 0) continue;
        if (lives(system, record.pid, record.start_time)) {
            ++alive;
            continue;
        }
        const auto stat = read_stat(system, record.pid);
        const bool other = stat && stat->start_time != record.start_time;
        into.push_back(
            {.grade = problem,
             .check = "processes",
             .what = fmt::format("pid {} of {} is {}", record.pid, label(now, row),
                                 other ? "another program by now" : "gone, and nobody noticed"),
             .where = fmt::format("pid {}", record.pid),
             .advice = fmt::format("clusterctl restart {}", record.id)});
    }
    add_fine(before, "processes", fmt::format("{} live and are ours", alive), into);
}

void check_strays(const SavedState& now, const std::vector<MarkedProcess>& marked, Findings& into)
{
    const std::size_t before = into.size();
    std::set<std::string> known;
    for (const auto& [key, row] : now.workers)
        known.insert(row.known.record.unique_id);
    for (const MarkedProcess& process : marked) {
        if (known.contains(process.unique_id)) continue;
        into.push_back({.grade = problem,
                        .check = "strays",
                        .what = fmt::format("pid {} was started by this daemon and belongs to no "
                                            "row",
                                            process.stat.pid),
                        .where = fmt::format("pid {}", process.stat.pid),
                        .advice = fmt::format("kill {}", process.stat.pid)});
    }
    add_fine(before, "strays", "no process is unmanaged", into);
}

void check_doubles(ipc::System& system, const SavedState& now,
                   const std::vector<MarkedProcess>& marked, Findings& into)
{
    const std::size_t before = into.size();
    const auto program = [&](pid_t pid) {
        return system.read_file(fmt::format("/proc/{}/cmdline", pid)).value_or("");
    };
    for (const auto& [key, row] : now.workers) {
        const WorkerRecord& record = row.known.record;
        if (record.pid == 0) continue;
        const std::set<pid_t> family = family_of(record, marked);
        for (const MarkedProcess& process : marked) {
            if (process.unique_id != record.unique_id || family.contains(process.stat.pid) ||
                process.stat.session != process.stat.pid ||
                program(process.stat.pid) != program(record.pid))
                continue;
            into.push_back({.grade = problem,
                            .check = "doubles",
                            .what = fmt::format("{} runs twice: pid {} and pid {}", label(now, row),
                                                record.pid, process.stat.pid),
                            .where = fmt::format("pid {}", process.stat.pid),
                            .advice = fmt::format("clusterctl restart {}", record.id)});
        }
    }
    add_fine(before, "doubles", "no row runs twice", into);
}

void check_guardian(ipc::System& system, const SavedState& now, pid_t guardian, Findings& into)
{
    const std::string where = fmt::format("pid {}", guardian);
    const auto held = guardian > 1 ? open_inodes(system, guardian) : std::nullopt;
    if (!held) {
        into.push_back({.grade = problem,
                        .check = "guardian",
                        .what = "there is none: a crash of the manager would end the daemon",
                        .where = where,
                        .advice = "clusterctl daemon-reexec"});
        return;
    }
    const std::set<std::uint64_t> needed = inodes_of(now);
    const auto missing =
        std::ranges::count_if(needed, [&](std::uint64_t inode) { return !held->contains(inode); });
    const auto extra =
        std::ranges::count_if(*held, [&](std::uint64_t inode) { return !needed.contains(inode); });
    if (missing > 0)
        into.push_back({.grade = problem,
                        .check = "guardian",
                        .what = fmt::format("it holds {} of {} descriptors that the next manager "
                                            "needs",
                                            std::ssize(needed) - missing, needed.size()),
                        .where = where,
                        .advice = "clusterctl daemon-reexec"});
    else if (std::cmp_greater(extra, kGuardiansOwn))
        into.push_back({.grade = warning,
                        .check = "guardian",
                        .what = fmt::format("it holds {} descriptors that nobody needs",
                                            std::cmp_greater(extra, kGuardiansOwn)
                                                ? static_cast<std::size_t>(extra) - kGuardiansOwn
                                                : 0),
                        .where = where,
                        .advice = "clusterctl daemon-reexec"});
    else
        into.push_back({.check = "guardian",
                        .what = fmt::format("it lives and holds {} descriptors", needed.size()),
                        .where = where});
}

void check_state(ipc::System& system, const SavedState& now, const std::string& path,
                 const std::string& fault, Findings& into)
{
    Finding finding{.check = "state", .what = "the state on disk is that of now", .where = path};
    const auto found = [&](std::string what, std::string advice) {
        finding.grade = problem;
        finding.what = std::move(what);
        finding.advice = std::move(advice);
    };
    const auto text = system.read_file(path);
    const bool missing = !text && text.error().code == std::errc::no_such_file_or_directory;
    const auto saved = text ? parse_state(*text) : std::unexpected(text.error().text());
    if (!fault.empty())
        found("it cannot be written: " + fault, "see to the disk; it is tried again each second");
    else if (missing && now.workers.empty())
        finding.what = "nothing was ever started";
    else if (!saved)
        found("it cannot be read: " + saved.error(), "clusterctl reset all writes it anew");
    else if (wanted_in(*saved) != wanted_in(now))
        found("the file is older than what runs", "clusterctl reset all writes it anew");
    into.push_back(std::move(finding));
}

void check_sockets(ipc::System& system, const SavedState& now, Findings& into)
{
    const std::size_t before = into.size();
    std::set<std::string> live;
    for (const KnownListener& listener : now.listeners)
        if (std::ranges::any_of(listener.sockets, &KnownListener::Socket::live))
            live.insert(listener.address);
    for (const auto& [key, row] : now.workers) {
        const auto app = now.apps.find(row.app);
        if (row.known.hidden || app == now.apps.end()) continue;
        for (const ipc::ListenAddress& address : app->second.spec.listen) {
            if (live.contains(address.text)) continue;
            into.push_back(
                {.grade = problem,
                 .check = "sockets",
                 .what = fmt::format("nobody listens on {} of {}", address.text, label(now, row)),
                 .where = address.text,
                 .advice = fmt::format("clusterctl restart {}", row.known.record.id)});
        }
        check_worker_sockets(system, now, row, into);
    }
    add_fine(before, "sockets", fmt::format("{} declared addresses are held", live.size()), into);
}

void check_logs(ipc::System& system, const std::vector<LogPath>& logs, Findings& into)
{
    const std::size_t before = into.size();
    std::set<std::string> seen;
    for (const LogPath& log : logs) {
        if (log.path.empty() || log.path == "/dev/null" || !seen.insert(log.path).second) continue;
        // Not waiting for a reader, where it is a named pipe.
        const auto file = system.open(log.path, O_WRONLY | O_APPEND | O_NONBLOCK);
        if (file) continue;
        const bool gone = file.error().code == std::errc::no_such_file_or_directory;
        if (gone && !log.in_use) continue; // made at the next start
        if (const int code = file.error().code.value(); code == EMFILE || code == ENFILE) {
            // Says nothing of the log; and a restart would find no descriptor either.
            into.push_back({.grade = warning,
                            .check = "logs",
                            .what = "they cannot be looked at: " + file.error().text(),
                            .where = log.path,
                            .advice = "stop what is not needed, or raise `ulimit -n`"});
            return;
        }
        into.push_back({.grade = gone ? warning : problem,
                        .check = "logs",
                        .what = gone ? fmt::format("the log file of {} was removed, its lines go "
                                                   "nowhere",
                                                   log.app)
                                     : file.error().text(),
                        .where = log.path,
                        .advice = fmt::format("clusterctl restart {}", log.app)});
    }
    add_fine(before, "logs", fmt::format("{} log files can be written", seen.size()), into);
}

} // namespace cluster::supervisor
