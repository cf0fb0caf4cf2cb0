#include "supervisor/sys/cgroups.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/cgroup_mounts.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::string_view kControllers[] = {"memory", "pids", "cpu"};
constexpr std::string_view kOwn =
    "/clusterctl.daemon";                     ///< the daemons', beside the workers' groups
constexpr int kPeriodUs = 100'000;            ///< the kernel's default
constexpr std::int64_t kLeastQuotaUs = 1'000; ///< the kernel takes no less

const Controller kNobody;

/// FNV-1a: the same in every version of the daemon.
std::uint32_t hash(std::string_view text)
{
    std::uint32_t value = 2166136261;
    for (const char c : text)
        value = (value ^ static_cast<unsigned char>(c)) * 16777619;
    return value;
}

std::string_view controller_of(std::string_view attribute)
{
    if (attribute.starts_with("memory")) return "memory";
    return attribute.starts_with("pids") ? "pids" : "cpu";
}

/// "name 12" on a line of its own.
std::uint64_t figure(const std::string& text, std::string_view name)
{
    std::string_view rest = text;
    while (!rest.empty()) {
        std::string_view line = ipc::next_word(rest, "\n");
        if (ipc::next_word(line) == name)
            return ipc::parse_number<std::uint64_t>(ipc::next_word(line)).value_or(0);
    }
    return 0;
}

/// The group that was given to the first of our daemons.
std::string unit_of(const OwnGroup& own)
{
    std::string group = own.folder();
    if (group.ends_with(kOwn)) group.resize(group.size() - kOwn.size());
    return group;
}

bool is_v2(ipc::System& system, const std::string& folder)
{
    return system.read_file(folder + "/cgroup.controllers").has_value();
}

} // namespace

TreeLimits limits_of(const ipc::AppSpec& spec)
{
    return {.memory_high = spec.memory_high,
            .memory_max = spec.memory_max,
            .cpu_max = spec.cpu_max,
            .pids_max = spec.pids_max};
}

Cgroups::Cgroups(ipc::System& system, Place place)
    : system_{system}, place_{std::move(place)},
      label_{fmt::format("clusterctl-{:08x}", hash(place_.home))}
{
}

bool Cgroups::for_all()
{
    if (!asked_) asked_ = place_.own_group && is_delegated(own_group(system_, ""));
    if (*asked_) discover();
    return *asked_ && delegated_;
}

/// systemd marks what it delegates: user.delegate, before version 251 trusted.delegate.
bool Cgroups::is_delegated(const std::optional<OwnGroup>& own)
{
    if (!own) return false;
    const auto marked = [&](const char* name) {
        return system_.getxattr(unit_of(*own), name).value_or("") == "1";
    };
    return marked("user.delegate") || marked("trusted.delegate");
}

const Controller& Cgroups::controller(std::string_view attribute)
{
    discover();
    const auto found = controllers_.find(controller_of(attribute));
    if (found == controllers_.end()) return kNobody;
    // Version 1 has a soft limit: who is above it gives back first, when the host is short.
    return attribute == "memory_high" && found->second.version == 1 ? kNobody : found->second;
}

/// Once, when it is asked for first: it may move the daemons.
void Cgroups::discover()
{
    if (std::exchange(known_, true)) return;
    if (prepare_v2()) return;
    for (const std::string_view name : kControllers) {
        const auto own = own_group(system_, name);
        if (!own) continue;
        const std::string base = own->folder() + "/" + label_;
        if (!system_.make_directories(base)) continue;
        controllers_[std::string{name}] = {.version = 1, .base = base};
        (void)system_.remove_directory(base); // it was to see whether we may; `make` makes it again
    }
}

bool Cgroups::prepare_v2()
{
    const auto base = v2_base();
    if (!base) return false;
    const std::string there = system_.read_file(*base + "/cgroup.subtree_control").value_or("");
    for (const std::string_view name : kControllers)
        if (lists(there, name)) controllers_[std::string{name}] = {.version = 2, .base = *base};
    return !controllers_.empty();
}

/// The folder in which workers may have groups with controllers.
std::optional<std::string> Cgroups::v2_base()
{
    const auto own = own_group(system_, "");
    if (!own) return std::nullopt;
    const std::string group = unit_of(*own);
    const std::string offered = system_.read_file(group + "/cgroup.controllers").value_or("");
    if (std::ranges::none_of(kControllers, [&](auto name) { return lists(offered, name); }))
        return std::nullopt;
    delegated_ = place_.own_group && is_delegated(own);
    const bool container = own->path.empty() && empty_but_for_us(group);
    if ((delegated_ || container) && make_way(group) && enable(group)) return group;
    delegated_ = false;
    // Only root may make a group of its own at the top.
    const std::string top = own->mount + "/" + label_;
    if (system_.make_directories(top) && enable(own->mount) && enable(top)) return top;
    return std::nullopt;
}

bool Cgroups::empty_but_for_us(const std::string& group)
{
    return std::ranges::all_of(group_members(system_, {group}), [&](pid_t pid) {
        return std::ranges::count(place_.daemons, pid) > 0;
    });
}

/// man 7 cgroups, "no internal processes": a group that gives controllers on has no process.
bool Cgroups::make_way(const std::string& group)
{
    const std::string ours = group + std::string{kOwn};
    if (!system_.make_directories(ours)) return false;
    return std::ranges::all_of(place_.daemons, [&](pid_t pid) {
        return write(ours + "/cgroup.procs", std::to_string(pid)).has_value();
    });
}

bool Cgroups::enable(const std::string& group)
{
    const std::string offered = system_.read_file(group + "/cgroup.controllers").value_or("");
    const std::string path = group + "/cgroup.subtree_control";
    std::string all;
    for (const std::string_view name : kControllers)
        if (lists(offered, name)) all += fmt::format("+{} ", name);
    (void)write(path, all);
    const std::string there = system_.read_file(path).value_or("");
    return std::ranges::any_of(kControllers, [&](auto name) { return lists(there, name); });
}

ipc::Result<GroupFolders> Cgroups::make(const std::string& name, const TreeLimits& limits)
{
    discover();
    GroupFolders folders;
    const std::pair<std::string_view, bool> wanted[] = {
        {"memory", limits.memory_high > 0 || limits.memory_max > 0},
        {"pids", limits.pids_max > 0},
        {"cpu", limits.cpu_max > 0 || (limits.memory_high > 0 && slows_down())},
    };
    for (const auto& [key, limited] : wanted) {
        const auto found = controllers_.find(key);
        if (found == controllers_.end() || (!limited && !delegated_)) continue;
        std::string folder = found->second.base + "/" + name;
        if (std::ranges::count(folders, folder) == 0) {
            remove_groups(system_, {folder}); // counts begin anew
            if (auto made = system_.make_directories(folder); !made)
                return std::unexpected(made.error());
            folders.push_back(folder);
        }
        if (auto done = limit(folder, found->second.version, key, limits); !done) {
            remove_groups(system_, folders);
            return std::unexpected(done.error());
        }
    }
    return folders;
}

ipc::Result<void> Cgroups::renew(const GroupFolders& folders, const TreeLimits& limits)
{
    discover();
    for (const std::string& folder : folders) {
        for (const auto& [name, controller] : controllers_) {
            if (!folder.starts_with(controller.base + "/")) continue;
            if (auto done = limit(folder, controller.version, name, limits); !done) return done;
        }
    }
    return {};
}

bool Cgroups::slows_down()
{
    return controller("memory_high").version == 0 && controller("cpu_max").version == 1;
}

ipc::Result<void> Cgroups::slow_down(const GroupFolders& folders, int cpu)
{
    const std::string& base = controller("cpu_max").base;
    const auto folder = std::ranges::find_if(
        folders, [&](const std::string& one) { return one.starts_with(base + "/"); });
    if (!slows_down() || folder == folders.end()) return {};
    const auto quota = std::max(std::int64_t{cpu} * kPeriodUs / 1000, kLeastQuotaUs);
    return write(*folder + "/cpu.cfs_quota_us", cpu == 0 ? "-1" : std::to_string(quota));
}

ipc::Result<void> Cgroups::limit(const std::string& folder, int version,
                                 std::string_view controller, const TreeLimits& limits)
{
    std::vector<std::pair<std::string, std::string>> files;
    const auto bytes = [&](const char* file, std::uint64_t value) {
        if (value > 0) files.emplace_back(file, std::to_string(value));
    };
    const std::int64_t quota = std::int64_t{limits.cpu_max} * kPeriodUs / 1000;
    if (controller == "memory" && version == 2) {
        bytes("memory.high", limits.memory_high);
        bytes("memory.max", limits.memory_max);
        if (limits.memory_max > 0) files.emplace_back("memory.oom.group", "1"); // all or none
    } else if (controller == "memory") {
        bytes("memory.soft_limit_in_bytes", limits.memory_high);
        bytes("memory.limit_in_bytes", limits.memory_max);
    } else if (controller == "pids") {
        if (limits.pids_max > 0) files.emplace_back("pids.max", std::to_string(limits.pids_max));
    } else if (limits.cpu_max > 0) {
        if (version == 2)
            files.emplace_back("cpu.max", fmt::format("{} {}", quota, kPeriodUs));
        else
            files.emplace_back("cpu.cfs_quota_us", std::to_string(quota));
    }
    for (const auto& [file, text] : files)
        if (auto done = write(folder + "/" + file, text); !done) return done;
    return {};
}

ipc::Result<void> Cgroups::write(const std::string& path, std::string_view text)
{
    auto file = system_.open(path, O_WRONLY);
    if (!file) return std::unexpected(file.error());
    auto written = system_.write(file->get(), text.data(), text.size());
    if (!written) {
        written.error().what = fmt::format("write {} to {}", text, path);
        return std::unexpected(written.error());
    }
    return {};
}

std::vector<pid_t> group_members(ipc::System& system, const GroupFolders& folders)
{
    std::vector<pid_t> pids;
    for (const std::string& folder : folders) {
        const std::string text = system.read_file(folder + "/cgroup.procs").value_or("");
        std::string_view rest = text;
        for (auto word = ipc::next_word(rest); !word.empty(); word = ipc::next_word(rest))
            if (const auto pid = ipc::parse_number<pid_t>(word)) pids.push_back(*pid);
    }
    std::ranges::sort(pids);
    const auto twice = std::ranges::unique(pids);
    pids.erase(twice.begin(), twice.end());
    return pids;
}

bool kill_group(ipc::System& system, const GroupFolders& folders)
{
    for (const std::string& folder : folders) {
        const auto file = system.open(folder + "/cgroup.kill", O_WRONLY);
        if (file && system.write(file->get(), "1", 1)) return true;
    }
    return false;
}

void remove_groups(ipc::System& system, const GroupFolders& folders)
{
    for (const std::string& folder : folders) {
        (void)system.remove_directory(folder);
        // The last one takes their common folder along; in version 2 that has been set up, and
        // stays.
        const std::string base = folder.substr(0, folder.rfind('/'));
        if (!is_v2(system, base)) (void)system.remove_directory(base);
    }
}

std::optional<std::uint64_t> group_memory(ipc::System& system, const GroupFolders& folders)
{
    for (const std::string& folder : folders) {
        for (const char* file : {"/memory.current", "/memory.usage_in_bytes"}) { // v2, v1
            const auto text = system.read_file(folder + file);
            std::string_view rest = text ? std::string_view{*text} : "";
            if (const auto bytes = ipc::parse_number<std::uint64_t>(ipc::next_word(rest)))
                return bytes;
        }
    }
    return std::nullopt;
}

GroupEvents group_events(ipc::System& system, const GroupFolders& folders)
{
    GroupEvents events;
    for (const std::string& folder : folders) {
        const auto read = [&](const char* file) {
            return system.read_file(folder + "/" + file).value_or("");
        };
        const bool v2 = is_v2(system, folder);
        events.out_of_memory +=
            figure(read(v2 ? "memory.events" : "memory.oom_control"), "oom_kill");
        events.refused_forks += figure(read("pids.events"), "max");
        const std::string cpu = read("cpu.stat");
        events.throttled_ms += figure(cpu, "throttled_usec") / 1'000;
        events.throttled_ms += figure(cpu, "throttled_time") / 1'000'000; // version 1: ns
    }
    return events;
}

} // namespace cluster::supervisor
