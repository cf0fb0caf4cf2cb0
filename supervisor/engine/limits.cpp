// Supervisor: what a worker's tree may take. The kernel sees to it where there are cgroups; else we
// look every second, the only clockwork that runs while nobody asks, and only while some app needs
// that.
#include "supervisor/core/memory_pressure.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/sys/cpus.hpp"
#include "supervisor/sys/host.hpp"

#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kCheckEvery{1};

std::string out_of_memory(const ipc::AppSpec& spec)
{
    return fmt::format("out of memory: more than memory_max, {} bytes", spec.memory_max);
}

} // namespace

std::size_t Supervisor::whole_cpus(const ipc::AppSpec& spec)
{
    return static_cast<std::size_t>((spec.cpu_max + 999) / 1000);
}

ipc::Result<std::vector<ipc::UniqueFd>> Supervisor::open_groups(Worker& worker)
{
    worker.over_limit.clear();
    worker.cpu_share.reset();
    std::vector<ipc::UniqueFd> files;
    const bool needed = worker.spec().limits_its_tree();
    if (!needed && !cgroups_.for_all()) return files;
    auto made = cgroups_.make(worker.unique_id, limits_of(worker.spec()));
    if (!made) {
        if (needed) return std::unexpected(made.error());
        around_.log.warn(fmt::format("{}:{} has no cgroup: {}", worker.spec().name, worker.id,
                                     made.error().text()));
        return files;
    }
    worker.groups = std::move(*made);
    for (const std::string& folder : worker.groups) {
        auto file = around_.system.open(folder + "/cgroup.procs", O_WRONLY);
        if (!file) return std::unexpected(file.error());
        files.push_back(std::move(*file));
    }
    if (worker.generation > 1) return files;
    for (const Limit& limit : limits(worker))
        if (limit.by.starts_with("nobody"))
            around_.log.warn(fmt::format("{}:{} {} has no effect, {}", worker.spec().name,
                                         worker.id, limit.attribute, limit.by));
    return files;
}

/// Nothing of its tree is left.
void Supervisor::leave_groups(Worker& worker)
{
    remove_groups(around_.system, std::exchange(worker.groups, {}));
}

std::string Supervisor::limits_hit(const Worker& worker)
{
    if (!worker.over_limit.empty()) return worker.over_limit;
    const GroupEvents events = group_events(around_.system, worker.groups);
    if (events.out_of_memory > 0 && worker.spec().memory_max > 0)
        return out_of_memory(worker.spec());
    if (events.refused_forks > 0)
        return fmt::format("pids_max {} kept it from starting processes {} times",
                           worker.spec().pids_max, events.refused_forks);
    return {};
}

std::vector<pid_t> Supervisor::strays(const Worker& worker)
{
    if (!worker.groups.empty()) return group_members(around_.system, worker.groups);
    if (!std::exchange(orphans_fresh_, true)) {
        for (auto& [unique_id, pid] :
             orphans_by(around_.system, "unique_id", around_.reapers, familiar_))
            orphans_[unique_id].push_back(pid);
        boost::asio::post(around_.loop, [this] {
            orphans_fresh_ = false;
            orphans_.clear();
        });
    }
    const auto found = orphans_.find(worker.unique_id);
    return found == orphans_.end() ? std::vector<pid_t>{} : found->second;
}

std::vector<Supervisor::Limit> Supervisor::limits(const Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    const std::string whole =
        fmt::format("affinity: {} CPU{}", whole_cpus(spec), whole_cpus(spec) == 1 ? "" : "s");
    const std::size_t cpus = spec.cpu_max > 0 ? whole_cpus(spec) : static_cast<std::size_t>(cpus_);
    const struct {
        std::string_view attribute;
        bool declared;
        std::string_view otherwise; ///< who sees to it where no cgroup does
    } rows[] = {
        {"memory_high", spec.memory_high > 0,
         cgroups_.slows_down() ? "a look every second: less CPU"
         : cpus > 1            ? "a look every second: fewer CPUs"
                               : "nobody: told in the log"},
        {"memory_max", spec.memory_max > 0, "a look every second"},
        {"cpu_max", spec.cpu_max > 0, whole},
        {"pids_max", spec.pids_max > 0, "a look every second"},
    };
    std::vector<Limit> all;
    for (const auto& row : rows) {
        if (!row.declared) continue;
        const int version = cgroups_.controller(row.attribute).version;
        all.push_back({row.attribute, version > 0 ? fmt::format("cgroup v{}", version)
                                                  : std::string{row.otherwise}});
    }
    return all;
}

bool Supervisor::limited_by_looking(const ipc::AppSpec& spec)
{
    return spec.max_memory_restart > 0 ||
           (spec.memory_high > 0 && cgroups_.controller("memory_high").version == 0) ||
           (spec.memory_max > 0 && cgroups_.controller("memory_max").version < 2) ||
           (spec.pids_max > 0 && cgroups_.controller("pids_max").version == 0);
}

void Supervisor::watch_limits()
{
    if (limits_watched_) return;
    const bool any = std::ranges::any_of(workers_, [this](const auto& row) {
        return row.second->alive() && limited_by_looking(row.second->spec());
    });
    if (!any) return;
    limits_watched_ = true;
    limits_timer_.expires_after(kCheckEvery);
    limits_timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        limits_watched_ = false;
        check_limits();
        watch_limits();
    });
}

void Supervisor::check_limits()
{
    std::vector<int> over;
    for (const auto& [id, worker] : workers_) {
        if (!worker->alive() || !limited_by_looking(worker->spec()) || check_tree(*worker))
            continue;
        const std::uint64_t most = worker->spec().max_memory_restart;
        if (worker->life.state == State::online && most > 0 && usage(*worker).memory > most)
            over.push_back(id);
    }
    for (const int id : over) {
        Worker& worker = *workers_.at(id);
        std::string cause = fmt::format("memory limit: {} bytes of at most {}",
                                        usage(worker).memory, worker.spec().max_memory_restart);
        if (recycler_ && recycler_(worker, cause)) continue;
        ask(worker, Event::restart_asked, std::move(cause));
    }
}

/// What the kernel of version 2 does to a tree above its memory_high. One that ends may do so at
/// full speed.
void Supervisor::press(Worker& worker, std::uint64_t memory)
{
    const ipc::AppSpec& spec = worker.spec();
    const int before = worker.cpu_share.value_or(kWholeShare);
    const int share = worker.life.state == State::stopping
                          ? kWholeShare
                          : cpu_share(memory, spec.memory_high, before);
    if (worker.cpu_share == share) return;
    const bool slowed = slow_down(worker, share);
    if ((share < kWholeShare) == (before < kWholeShare)) return;
    around_.log.warn(fmt::format("{}:{} memory_high: {} bytes of {}, {}", spec.name, worker.id,
                                 memory, spec.memory_high,
                                 share == kWholeShare ? "at full speed again"
                                 : slowed             ? "slowed down"
                                                      : "and nobody slows it down"));
}

/// To so many thousandths of its CPU time; without a cgroup to so many CPUs, and at least one:
/// whoever is kept to fewer of them goes on when we die, and anybody may take it back. False: it
/// has no less than before.
bool Supervisor::slow_down(Worker& worker, int share)
{
    const ipc::AppSpec& spec = worker.spec();
    const bool is_first = !std::exchange(worker.cpu_share, share);
    const int all = spec.cpu_max > 0 ? spec.cpu_max : usable_cpus(around_.system) * 1000;
    const int rest = std::max(all * share / kWholeShare, 1);
    if (cgroups_.slows_down()) {
        const bool limited = share < kWholeShare || spec.cpu_max > 0;
        const auto done = cgroups_.slow_down(worker.groups, limited ? rest : 0);
        if (!done) around_.log.warn(done.error().text());
        return done.has_value();
    }
    if (share == kWholeShare && is_first && !worker.adopted) return true; // it may have its own
    const auto count = static_cast<std::size_t>((rest + 999) / 1000);
    std::vector<pid_t> pids;
    for (const ProcessStat& process : members(worker))
        pids.push_back(process.pid);
    keep_on_cpus(around_.system, pids,
                 some_cpus(count, static_cast<std::size_t>(worker.instance) * count));
    return count < static_cast<std::size_t>((all + 999) / 1000);
}

/// What the kernel does with a cgroup: a tree above its limit is killed. True when it was.
bool Supervisor::check_tree(Worker& worker)
{
    const ipc::AppSpec& spec = worker.spec();
    const Usage used = usage(worker);
    const auto over = [&](std::string_view attribute, std::uint64_t have, std::uint64_t most) {
        if (most == 0 || have <= most || cgroups_.controller(attribute).version > 0) return false;
        worker.over_limit = fmt::format("{}: {} of at most {}", attribute, have, most);
        return true;
    };
    if (spec.memory_high > 0 && cgroups_.controller("memory_high").version == 0)
        press(worker, used.memory);
    // Version 1 kills one process; the rest of its tree may go on without it.
    if (spec.memory_max > 0 && group_events(around_.system, worker.groups).out_of_memory > 0)
        worker.over_limit = out_of_memory(spec);
    if (worker.over_limit.empty() && !over("memory_max", used.memory, spec.memory_max) &&
        !over("pids_max", static_cast<std::uint64_t>(used.tasks),
              static_cast<std::uint64_t>(spec.pids_max)))
        return false;
    signal_all(members(worker), SIGSTOP); // who cannot run cannot fork
    processes_.reset();
    signal_all(members(worker), SIGKILL);
    return true;
}

} // namespace cluster::supervisor
