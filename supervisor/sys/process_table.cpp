#include "supervisor/sys/process_table.hpp"

#include "ipc/base/text.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <thread>
#include <utility>

namespace cluster::supervisor {
namespace {

/// PF_KTHREAD of the kernel's flags: a thread of the kernel, which has no memory and so no
/// environment ever. (Since Linux 6.12 its environment cannot be opened, before it is empty.)
constexpr std::uint64_t kThread = 0x0020'0000;

constexpr std::size_t kStatBytes = 1024;     ///< 52 fields of at most 20 digits, and a name of 64
constexpr std::size_t kChildrenBytes = 4096; ///< enough for 500 pids; more come by another way

bool contains(const std::vector<pid_t>& pids, pid_t pid)
{
    return std::ranges::find(pids, pid) != pids.end();
}

/// The block of "NAME=value" strings, each ended by a zero byte; "" when it may not be read.
std::string environment_of(ipc::System& system, pid_t pid)
{
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/environ", pid);
    constexpr int kPatience = 50; // × kPause is more than an exec takes, and less than is noticed
    constexpr std::chrono::microseconds kPause{100};
    for (int i = 0; i < kPatience; ++i) {
        auto text = system.read_file(path.data());
        if (!text) return {};
        if (!text->empty() || !is_in_exec(system, pid)) return std::move(*text);
        std::this_thread::sleep_for(kPause);
    }
    return {};
}

/// `environment` is a block of strings that a zero byte ends each; one of them is `entry`.
bool has_entry(std::string_view environment, std::string_view entry)
{
    for (std::size_t at = environment.find(entry); at != std::string_view::npos;
         at = environment.find(entry, at + 1)) {
        const std::size_t end = at + entry.size();
        if ((at == 0 || environment[at - 1] == '\0') &&
            (end == environment.size() || environment[end] == '\0'))
            return true;
    }
    return false;
}

bool carries_marker(ipc::System& system, pid_t pid, std::string_view marker)
{
    return !marker.empty() && has_entry(environment_of(system, pid), marker);
}

bool in_session_or_group(const ProcessStat& process, const TreeRoot& root)
{
    return process.session == root.pid || process.group == root.pid;
}

void append_pids(std::string_view text, std::vector<pid_t>& into)
{
    for (auto word = ipc::next_word(text); !word.empty(); word = ipc::next_word(text))
        if (const auto pid = ipc::parse_number<pid_t>(word)) into.push_back(*pid);
}

/// The children of one thread. False when the kernel does not tell (or the process has gone).
bool children_of_thread(ipc::System& system, pid_t pid, pid_t thread, std::vector<pid_t>& into)
{
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/task/%d/children", pid, thread);
    std::array<char, kChildrenBytes> buffer;
    const auto size = system.read_small(path.data(), buffer);
    if (!size) return false;
    if (*size < buffer.size()) {
        append_pids({buffer.data(), *size}, into);
        return true;
    }
    const auto all = system.read_file(path.data());
    if (all) append_pids(*all, into);
    return all.has_value();
}

/// For kernels without CONFIG_PROC_CHILDREN.
std::vector<pid_t> children_by_parent(ipc::System& system, pid_t pid)
{
    std::vector<pid_t> children;
    if (!read_stat(system, pid)) return children; // it has gone, no need to search
    for (const ProcessStat& process : read_process_table(system))
        if (process.parent == pid) children.push_back(process.pid);
    return children;
}

/// The kernel's list skips an entry when the one before it is reaped while we read (man 5 proc,
/// "children"). Two equal readings in a row saw nothing vanish; our own list nobody else reaps.
std::vector<pid_t> settled_children_of(ipc::System& system, pid_t pid)
{
    const auto stat = read_stat(system, pid);
    if (!stat) return {};
    auto children = children_of(system, pid, stat->threads);
    if (pid == ::getpid()) return children;
    constexpr int kPatience = 8; // a reaper that busy has the caller look again on its next exit
    for (int i = 0; i < kPatience; ++i) {
        auto again = children_of(system, pid, stat->threads);
        if (again == children) break;
        children = std::move(again);
    }
    return children;
}

} // namespace

PidSet::PidSet(std::vector<pid_t> pids) : pids_{std::move(pids)}
{
    std::ranges::sort(pids_);
}

void PidSet::insert(pid_t pid)
{
    const auto at = std::ranges::lower_bound(pids_, pid);
    if (at == pids_.end() || *at != pid) pids_.insert(at, pid);
}

void PidSet::erase(pid_t pid)
{
    const auto at = std::ranges::lower_bound(pids_, pid);
    if (at != pids_.end() && *at == pid) pids_.erase(at);
}

bool PidSet::contains(pid_t pid) const
{
    return std::ranges::binary_search(pids_, pid);
}

bool is_in_exec(ipc::System& system, pid_t pid)
{
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/stat", pid);
    std::array<char, kStatBytes> buffer;
    const auto size = system.read_small(path.data(), buffer);
    std::string_view text{buffer.data(), size.value_or(0)};
    text.remove_prefix(std::min(text.rfind(") ") + 1, text.size())); // npos + 1 is 0
    std::string_view word = ipc::next_word(text); // number 3 of man 5 proc, stat: the state
    if (word == "Z" || word == "X") return false; // it has ended meanwhile
    constexpr int kFlags = 9;
    constexpr int kEnvEnd = 51;
    for (int number = 4; number <= kEnvEnd; ++number) {
        word = ipc::next_word(text);
        if (number == kFlags && (ipc::parse_number<std::uint64_t>(word).value_or(0) & kThread) != 0)
            return false;
    }
    return word == "0";
}

bool is_dead(const ProcessStat& process)
{
    return (process.state == 'Z' && process.threads <= 1) || process.state == 'X';
}

bool is_gone(const ipc::Error& error)
{
    return error.code.value() == ENOENT || error.code.value() == ESRCH;
}

bool lives(ipc::System& system, pid_t pid, std::uint64_t start_time)
{
    const auto now = read_stat(system, pid);
    if (!now) return !is_gone(now.error());
    return !is_dead(*now) && now->start_time == start_time;
}

std::optional<ProcessStat> parse_stat(std::string_view text)
{
    // The name may hold anything, ") " included; what follows the last parenthesis may not.
    const std::size_t open = text.find(" (");
    const std::size_t close = text.rfind(") ");
    if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;

    std::array<std::string_view, 22> fields; // the first is number 3 of man 5 proc, the state
    std::string_view rest = text.substr(close + 2);
    for (std::string_view& word : fields)
        word = ipc::next_word(rest);
    bool good = fields.front().size() == 1;
    const auto read = [&]<class Number>(std::string_view word, Number& into) {
        const auto value = ipc::parse_number<Number>(word);
        good = good && value;
        into = value.value_or(Number{});
    };
    const auto numbered = [&](std::size_t number) { return fields[number - 3]; };

    ProcessStat stat;
    std::uint64_t user = 0;
    std::uint64_t kernel = 0;
    std::uint64_t waited_user = 0;
    std::uint64_t waited_kernel = 0;
    std::uint64_t pages = 0;
    read(text.substr(0, open), stat.pid);
    read(numbered(4), stat.parent);
    read(numbered(5), stat.group);
    read(numbered(6), stat.session);
    read(numbered(14), user);
    read(numbered(15), kernel);
    read(numbered(16), waited_user);
    read(numbered(17), waited_kernel);
    read(numbered(20), stat.threads);
    read(numbered(22), stat.start_time);
    read(numbered(24), pages);
    if (!good) return std::nullopt;

    static const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    stat.state = fields.front().front();
    stat.cpu_ticks = user + kernel;
    stat.waited_ticks = waited_user + waited_kernel;
    stat.resident_bytes = pages * page_bytes;
    return stat;
}

ipc::Result<ProcessStat> read_stat(ipc::System& system, pid_t pid)
{
    std::array<char, 32> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/stat", pid);
    std::array<char, kStatBytes> buffer;
    const auto size = system.read_small(path.data(), buffer);
    if (!size) return std::unexpected(size.error());
    const auto stat = parse_stat({buffer.data(), *size});
    if (!stat) return ipc::fail(EINVAL, std::string{"read "} + path.data());
    return *stat;
}

bool has_work(ipc::System& system, pid_t pid)
{
    const auto tasks = system.list_directory("/proc/" + std::to_string(pid) + "/task");
    if (!tasks) return !is_gone(tasks.error());
    return std::ranges::any_of(*tasks, [&](const std::string& task) {
        std::array<char, 64> path;
        std::snprintf(path.data(), path.size(), "/proc/%d/task/%s/stat", pid, task.c_str());
        std::array<char, kStatBytes> buffer;
        const auto size = system.read_small(path.data(), buffer);
        const auto thread = size ? parse_stat({buffer.data(), *size}) : std::nullopt;
        return thread && (thread->state == 'R' || thread->state == 'D');
    });
}

std::optional<ipc::ExitStatus> zombie_status(ipc::System& system, pid_t pid,
                                             std::uint64_t start_time)
{
    const auto text = system.read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto about = text ? parse_stat(*text) : std::nullopt;
    if (!about || about->state != 'Z' || about->threads > 1 || about->start_time != start_time)
        return std::nullopt;
    std::string_view rest{*text};
    while (rest.ends_with('\n'))
        rest.remove_suffix(1);
    // Number 52, the last one: as waitpid tells it.
    const auto status = ipc::parse_number<int>(rest.substr(rest.rfind(' ') + 1));
    if (!status) return std::nullopt;
    if (WIFSIGNALED(*status)) return ipc::ExitStatus{.code = 0, .signal = WTERMSIG(*status)};
    return ipc::ExitStatus{.code = WEXITSTATUS(*status), .signal = 0};
}

std::vector<ProcessStat> read_process_table(ipc::System& system)
{
    std::vector<ProcessStat> table;
    const auto names = system.list_directory("/proc");
    if (!names) return table;
    table.reserve(names->size());
    for (const std::string& name : *names) {
        const auto pid = ipc::parse_number<pid_t>(name);
        if (!pid) continue;
        if (const auto stat = read_stat(system, *pid)) table.push_back(*stat); // or it has gone
    }
    return table;
}

std::vector<ProcessStat> read_part_of_table(ipc::System& system, const TreeRoot& root,
                                            const std::vector<pid_t>& reapers, const PidSet& known)
{
    std::vector<ProcessStat> part;
    std::set<pid_t> seen{reapers.begin(), reapers.end()};
    const auto add = [&](pid_t pid) {
        if (!seen.insert(pid).second) return;
        const auto stat = read_stat(system, pid);
        if (stat && stat->start_time >= root.start_time) part.push_back(*stat);
    };
    // Where /proc hides the processes of others, children of pid 1 can only be found by their own.
    if (!read_stat(system, 1)) return read_process_table(system);
    add(root.pid);
    std::vector<pid_t> parents = reapers;
    parents.push_back(1);
    for (const pid_t parent : parents)
        for (const pid_t child : settled_children_of(system, parent))
            if (!known.contains(child)) add(child);
    for (std::size_t i = 0; i < part.size(); ++i) // grows meanwhile
        for (const pid_t child : settled_children_of(system, part[i].pid))
            add(child);
    return part;
}

ProcessForest::ProcessForest(ipc::System& system, std::vector<ProcessStat> table,
                             const std::vector<pid_t>& reapers, const PidSet& known)
    : system_{&system}, table_{std::move(table)}, reapers_{reapers}
{
    std::ranges::sort(table_, {}, &ProcessStat::pid); // as /proc gives them, nearly always
    for (auto* order : {&by_parent_, &by_session_, &by_group_}) {
        order->resize(table_.size());
        std::iota(order->begin(), order->end(), std::size_t{0});
    }
    std::ranges::sort(by_parent_, {}, [&](std::size_t at) { return table_[at].parent; });
    std::ranges::sort(by_session_, {}, [&](std::size_t at) { return table_[at].session; });
    std::ranges::sort(by_group_, {}, [&](std::size_t at) { return table_[at].group; });
    const auto add_orphans = [&](pid_t parent) {
        for (const std::size_t at : those(by_parent_, &ProcessStat::parent, parent))
            if (!known.contains(table_[at].pid) && !is_dead(table_[at]))
                orphans_.push_back({.at = at, .environment = {}});
    };
    add_orphans(1);
    for (const pid_t reaper : reapers_)
        if (reaper != 1) add_orphans(reaper);
}

std::span<const std::size_t> ProcessForest::those(const std::vector<std::size_t>& order,
                                                  pid_t ProcessStat::* field, pid_t value) const
{
    const auto found = std::ranges::equal_range(order, value, {},
                                                [&](std::size_t at) { return table_[at].*field; });
    return {found.begin(), found.end()};
}

std::optional<std::size_t> ProcessForest::position_of(pid_t pid) const
{
    const auto at = std::ranges::lower_bound(table_, pid, {}, &ProcessStat::pid);
    if (at == table_.end() || at->pid != pid) return std::nullopt;
    return static_cast<std::size_t>(at - table_.begin());
}

std::vector<ProcessStat> ProcessForest::tree_of(const TreeRoot& root) const
{
    const auto holder = position_of(root.pid);
    // By now the pid may belong to a stranger.
    const bool reused = holder && table_[*holder].start_time != root.start_time;
    std::vector<std::size_t> tree; // grows while it is gone through
    std::set<std::size_t> inside;
    const auto add = [&](std::size_t at) {
        const ProcessStat& process = table_[at];
        if (process.start_time < root.start_time || contains(reapers_, process.pid)) return;
        if (reused && process.pid == root.pid) return;
        if (inside.insert(at).second) tree.push_back(at);
    };
    if (holder) add(*holder);
    if (!reused) {
        std::ranges::for_each(those(by_session_, &ProcessStat::session, root.pid), add);
        std::ranges::for_each(those(by_group_, &ProcessStat::group, root.pid), add);
    }
    for (const Orphan& orphan : orphans_)
        if (table_[orphan.at].start_time >= root.start_time && carries(orphan, root.marker))
            add(orphan.at);
    for (std::size_t i = 0; i < tree.size(); ++i)
        std::ranges::for_each(those(by_parent_, &ProcessStat::parent, table_[tree[i]].pid), add);
    return in_order(tree, inside, root.pid);
}

/// Read once, for all the trees that it may belong to.
bool ProcessForest::carries(const Orphan& orphan, std::string_view marker) const
{
    if (marker.empty()) return false;
    if (!orphan.environment) orphan.environment = environment_of(*system_, table_[orphan.at].pid);
    return has_entry(*orphan.environment, marker);
}

std::vector<ProcessStat> ProcessForest::in_order(const std::vector<std::size_t>& tree,
                                                 const std::set<std::size_t>& inside,
                                                 pid_t root) const
{
    struct Member {
        const ProcessStat* process;
        int depth;
    };
    const auto depth_of = [&](std::size_t index) {
        int depth = 0;
        // A table read in a race may show a circle of parents.
        for (auto at = position_of(table_[index].parent);
             at && inside.contains(*at) && depth < std::ssize(tree);
             at = position_of(table_[*at].parent))
            ++depth;
        return depth;
    };
    std::vector<Member> members;
    for (const std::size_t at : tree)
        if (!is_dead(table_[at])) members.push_back({&table_[at], depth_of(at)});
    // The root has no depth of its own when orphans stand beside it, so it is put last by name.
    std::ranges::sort(members, [&](const Member& a, const Member& b) {
        const bool a_root = a.process->pid == root;
        const bool b_root = b.process->pid == root;
        if (a_root != b_root) return b_root;
        if (a.depth != b.depth) return a.depth > b.depth;
        return a.process->start_time > b.process->start_time;
    });
    std::vector<ProcessStat> ordered;
    ordered.reserve(members.size());
    for (const Member& member : members)
        ordered.push_back(*member.process);
    return ordered;
}

bool may_have_survivors(ipc::System& system, const TreeRoot& root,
                        const std::vector<pid_t>& reapers, const PidSet& known)
{
    const auto group = system.kill(-root.pid, 0);
    if (group || group.error().code.value() != ESRCH) return true;
    for (const pid_t reaper : reapers) {
        for (const pid_t child : settled_children_of(system, reaper)) {
            if (known.contains(child) || contains(reapers, child)) continue;
            const auto stat = read_stat(system, child);
            if (!stat || is_dead(*stat) || stat->start_time < root.start_time) continue;
            if (in_session_or_group(*stat, root) || carries_marker(system, child, root.marker))
                return true;
        }
    }
    return false;
}

std::multimap<std::string, pid_t> orphans_by(ipc::System& system, std::string_view variable,
                                             const std::vector<pid_t>& reapers, const PidSet& known)
{
    std::multimap<std::string, pid_t> orphans;
    for (const pid_t reaper : reapers) {
        for (const pid_t child : settled_children_of(system, reaper)) {
            if (known.contains(child) || contains(reapers, child)) continue;
            const std::string environment = environment_of(system, child);
            std::string_view rest = environment;
            while (!rest.empty()) {
                std::string_view entry = ipc::next_word(rest, std::string_view{"\0", 1});
                if (entry.starts_with(variable) && entry.substr(variable.size()).starts_with('='))
                    orphans.emplace(entry.substr(variable.size() + 1), child);
            }
        }
    }
    return orphans;
}

std::vector<pid_t> children_of(ipc::System& system, pid_t pid, int threads)
{
    std::vector<pid_t> children;
    if (threads <= 1) {
        if (children_of_thread(system, pid, pid, children)) return children;
        return children_by_parent(system, pid);
    }
    const auto tasks = system.list_directory("/proc/" + std::to_string(pid) + "/task");
    if (!tasks) return children;
    bool told = false;
    for (const std::string& task : *tasks)
        if (const auto thread = ipc::parse_number<pid_t>(task))
            told = children_of_thread(system, pid, *thread, children) || told;
    return told ? children : children_by_parent(system, pid);
}

} // namespace cluster::supervisor
