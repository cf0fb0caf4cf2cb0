#include "supervisor/daemon/metrics.hpp"

#include "ipc/base/text.hpp"
#include "ipc/base/version.hpp"
#include "supervisor/daemon/worker_figures.hpp"
#include "supervisor/sys/connections.hpp"
#include "supervisor/sys/sampler.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

namespace cluster::supervisor {
namespace {

using ipc::Exposition;
using ipc::MetricType;
using enum MetricType;

/// Workers that are sampled in one turn of the loop: about 2 ms.
constexpr std::size_t kPerTurn = 32;

// clang-format off
constexpr Metric kMetrics[] = {
    {"cluster_build_info", gauge, "Always 1; the version of clusterd."},
    {"cluster_daemon_start_time_seconds", gauge, "When this process of clusterd was started, since 1970. A manager that was replaced (crash, upgrade) has a later one."},
    {"cluster_daemon_cpu_seconds_total", counter, "CPU time that this process of clusterd has used."},
    {"cluster_daemon_resident_memory_bytes", gauge, "Resident memory of this process of clusterd."},
    {"cluster_daemon_open_fds", gauge, "File descriptors that the manager has open."},
    {"cluster_daemon_max_fds", gauge, "File descriptors that the manager may have open."},
    {"cluster_daemon_loop_lag_seconds", gauge, "How long this scrape had to wait for its turn in the manager's event loop."},
    {"cluster_daemon_clients", gauge, "Connections to the control socket: commands, followers of logs and events."},
    {"cluster_daemon_dropped_lines_total", counter, "Log lines that slow followers (clusterctl logs) did not get; none is missing in the files."},
    {"cluster_daemon_scrapes_total", counter, "Scrapes that were answered before this one."},
    {"cluster_daemon_refused_scrapes_total", counter, "Requests to this listener that were refused: token, path, method, size or time."},
    {"cluster_app_instances_desired", gauge, "Workers of the app that shall run."},
    {"cluster_app_instances_ready", gauge, "Workers of the app that are online and, where it is declared, ready and healthy."},
    {"cluster_app_reloading", gauge, "1 while a reload of the app is under way or waits for its turn."},
    {"cluster_app_reloads_total", counter, "Reloads of the app since the manager came up, by outcome: done, failed, cancelled."},
    {"cluster_app_open_connections", gauge, "Established connections to the TCP addresses that the app listens on through the daemon."},
    {"cluster_app_accept_queue_length", gauge, "Connections to the address that no worker has accepted yet."},
    {"cluster_app_accept_queue_limit", gauge, "Connections to the address that may wait to be accepted."},
    {"cluster_worker_state", gauge, "1 for the state that the worker is in, 0 for the others."},
    {"cluster_worker_up", gauge, "1 while the worker is online."},
    {"cluster_worker_ready", gauge, "1 while the worker is online and, where a health check is declared, passes it."},
    {"cluster_worker_start_time_seconds", gauge, "When the worker's process was started, since 1970; only while there is one."},
    {"cluster_worker_cpu_seconds_total", counter, "CPU time that the worker and all below it have used, over all its processes."},
    {"cluster_worker_resident_memory_bytes", gauge, "Resident memory of the worker and all below it; what they share counts for each."},
    {"cluster_worker_cgroup_memory_bytes", gauge, "Memory that the kernel counts for the worker's cgroup; only where it has one."},
    {"cluster_worker_memory_limit_bytes", gauge, "The lowest limit at which the worker is killed or restarted; only where one is declared."},
    {"cluster_worker_tasks", gauge, "Processes and threads of the worker and all below it."},
    {"cluster_worker_event_loop_lag_seconds", gauge, "How long the event loop of a Node worker took to answer the scrape before, or how long that is overdue; only for Node with a channel to the daemon."},
    {"cluster_worker_restarts_total", counter, "Restarts and reloads of the worker, as list shows them."},
    {"cluster_worker_unstable_restarts", gauge, "Quick ends in a row that count towards max_restarts."},
    {"cluster_worker_exits_total", counter, "Ends of the worker's process by reason: success, failure, signal, limit, asked, unknown."},
    {"cluster_worker_log_bytes_total", counter, "Bytes of output of the worker, since the manager came up."},
    {"cluster_worker_log_lost_bytes_total", counter, "Bytes of output that could not be written to the log, since the manager came up."},
    {"cluster_worker_log_lost_lines_total", counter, "Lines of output that could not be written to the log, since the manager came up."},
    {"cluster_log_sink_lines_total", counter, "Lines that the receiver behind a sink of log_sinks has taken, since the manager came up."},
    {"cluster_log_sink_lost_lines_total", counter, "Lines that a sink of log_sinks has lost, since the manager came up."},
    {"cluster_log_sink_connected", gauge, "1 while the sink of log_sinks takes lines."},
};
// clang-format on

const Metric& metric(std::string_view name)
{
    return *std::ranges::find(kMetrics, name, &Metric::name);
}

/// Seconds since 1970 at which a process was started that has this start time.
double started_at_s(std::uint64_t start_ticks)
{
    timespec real{}, boot{};
    ::clock_gettime(CLOCK_REALTIME, &real);
    ::clock_gettime(CLOCK_BOOTTIME, &boot);
    const double booted = static_cast<double>(real.tv_sec - boot.tv_sec) +
                          static_cast<double>(real.tv_nsec - boot.tv_nsec) / 1e9;
    return booted + cpu_seconds(start_ticks);
}

/// What the TCP sockets of one address amount to.
struct AddressFigures {
    std::uint64_t waiting = 0;
    std::uint64_t may_wait = 0;
};

/// One scrape under way.
class Scrape {
public:
    Scrape(Supervisor& supervisor, DaemonFigures daemon, double waited_s)
        : supervisor_{supervisor}, daemon_{std::move(daemon)}, waited_s_{waited_s}
    {
        for (const auto& [id, worker] : supervisor_.workers())
            ids_.push_back(id);
    }

    bool next(std::string& out)
    {
        if (at_ < ids_.size()) return gather(), true;
        static constexpr void (Scrape::* kSteps[])(Exposition&) = {
            &Scrape::daemon_processes, &Scrape::daemon_counts, &Scrape::apps,
            &Scrape::connections,      &Scrape::accept_queues, &Scrape::worker_states,
            &Scrape::worker_resources, &Scrape::worker_ends,   &Scrape::worker_logs,
            &Scrape::log_sinks};
        Exposition to{out};
        (this->*kSteps[step_])(to);
        return ++step_ < std::size(kSteps);
    }

private:
    void gather()
    {
        const std::size_t end = std::min(at_ + kPerTurn, ids_.size());
        for (; at_ < end; ++at_)
            if (const Worker* worker = supervisor_.find(ids_[at_])) // it may be deleted by now
                workers_.push_back(figures_of(supervisor_, *worker));
    }

    template <class Value>
    void each(Exposition& to, std::string_view name, Value value)
    {
        to.begin(metric(name));
        for (const WorkerFigures& worker : workers_)
            value(worker);
    }
    template <class Number>
    void gauge_of(Exposition& to, std::string_view name, Number WorkerFigures::* member)
    {
        each(to, name, [&](const WorkerFigures& w) { to.sample(w.labels, w.*member); });
    }
    /// Left out where it is 0: nothing of that kind is there.
    template <class Number>
    void some_of(Exposition& to, std::string_view name, Number WorkerFigures::* member)
    {
        each(to, name, [&](const WorkerFigures& w) {
            if (w.*member > 0) to.sample(w.labels, w.*member);
        });
    }

    void daemon_processes(Exposition& to)
    {
        const std::pair<Labels, pid_t> processes[] = {{{{"process", "manager"}}, ::getpid()},
                                                      {{{"process", "guardian"}}, ::getppid()}};
        std::vector<std::pair<const Labels*, ProcessStat>> stats;
        for (const auto& [labels, pid] : processes)
            if (const auto stat = read_stat(supervisor_.system(), pid))
                stats.emplace_back(&labels, *stat);
        to.begin(metric("cluster_build_info"));
        to.sample(Labels{{"version", ipc::version()}}, std::uint64_t{1});
        to.begin(metric("cluster_daemon_start_time_seconds"));
        for (const auto& [labels, stat] : stats)
            to.sample(*labels, started_at_s(stat.start_time));
        to.begin(metric("cluster_daemon_cpu_seconds_total"));
        for (const auto& [labels, stat] : stats)
            to.sample(*labels, cpu_seconds(stat.cpu_ticks));
        to.begin(metric("cluster_daemon_resident_memory_bytes"));
        for (const auto& [labels, stat] : stats)
            to.sample(*labels, stat.resident_bytes);
    }

    void daemon_counts(Exposition& to)
    {
        const auto one = [&](std::string_view name, auto value) {
            to.begin(metric(name));
            to.sample(Labels{}, value);
        };
        rlimit files{};
        ::getrlimit(RLIMIT_NOFILE, &files);
        if (const auto open = open_files()) one("cluster_daemon_open_fds", *open);
        one("cluster_daemon_max_fds", static_cast<double>(files.rlim_cur));
        one("cluster_daemon_loop_lag_seconds", waited_s_);
        one("cluster_daemon_clients", static_cast<std::uint64_t>(daemon_.clients));
        one("cluster_daemon_dropped_lines_total", daemon_.dropped_lines);
        one("cluster_daemon_scrapes_total", daemon_.scrapes);
        one("cluster_daemon_refused_scrapes_total", daemon_.refused);
    }

    std::optional<std::uint64_t> open_files()
    {
        struct stat folder{}; // Linux 6.2 tells their number as its size
        if (::stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
            return static_cast<std::uint64_t>(folder.st_size);
        const auto names = supervisor_.system().list_directory("/proc/self/fd");
        if (!names) return std::nullopt;
        return names->size() - 1; // without the one that looked
    }

    void apps(Exposition& to)
    {
        std::map<std::string, AppFigures> apps = figures_of_apps(workers_);
        for (const std::string& name : daemon_.reloading)
            if (const auto app = apps.find(name); app != apps.end()) app->second.reloading = true;
        const auto each_app = [&](std::string_view name, auto value) {
            to.begin(metric(name));
            for (const auto& [app, figures] : apps)
                to.sample(figures.labels, value(figures));
        };
        each_app("cluster_app_instances_desired", [](const AppFigures& a) { return a.desired; });
        each_app("cluster_app_instances_ready", [](const AppFigures& a) { return a.ready; });
        each_app("cluster_app_reloading",
                 [](const AppFigures& a) { return std::uint64_t{a.reloading ? 1U : 0U}; });
        to.begin(metric("cluster_app_reloads_total"));
        for (const auto& [app, figures] : apps) {
            const auto found = daemon_.reloads->find(app);
            const Reloads::Tally tally =
                found == daemon_.reloads->end() ? Reloads::Tally{} : found->second;
            to.sample(figures.labels.with("outcome", "done"), tally.done);
            to.sample(figures.labels.with("outcome", "failed"), tally.failed);
            to.sample(figures.labels.with("outcome", "cancelled"), tally.cancelled);
        }
        for (const auto& [app, figures] : apps)
            app_labels_.emplace(app, figures.labels);
    }

    /// Inode → the app and address that it belongs to; of one that several share, the first app.
    struct Owner {
        std::string app;
        std::string address;
    };
    std::map<std::uint64_t, Owner> listening_sockets()
    {
        std::map<std::uint64_t, Owner> owners;
        for (const auto& [id, worker] : supervisor_.workers())
            for (const auto& listener : worker->app->listeners)
                if (!listener->is_unix())
                    for (const auto& socket : listener->sockets())
                        owners.try_emplace(socket->kept.inode(),
                                           Owner{worker->spec().name, listener->bound_address()});
        return owners;
    }

    /// Walks all connections of the machine: a few milliseconds, and only where somebody listens.
    void connections(Exposition& to)
    {
        const auto owners = listening_sockets();
        if (owners.empty()) return;
        auto diag = SocketDiag::open();
        if (!diag) return;
        std::map<std::uint16_t, std::string> apps; // by port
        std::vector<std::uint16_t> ports;
        for (const int family : {AF_INET, AF_INET6}) {
            const auto listeners = diag->list(family, {TcpState::listen}, {});
            if (!listeners) return;
            for (const TcpSocket& socket : *listeners) {
                const auto owner = owners.find(socket.inode);
                if (owner == owners.end()) continue;
                if (apps.try_emplace(socket.port, owner->second.app).second)
                    ports.push_back(socket.port);
                AddressFigures& figures = addresses_[{owner->second.app, owner->second.address}];
                figures.waiting += socket.figures.receive_queue;
                figures.may_wait += socket.figures.send_queue;
            }
        }
        if (ports.empty()) return;
        std::map<std::string, std::uint64_t> open;
        for (const auto& [port, app] : apps)
            open[app];
        for (const int family : {AF_INET, AF_INET6}) {
            const auto connections =
                diag->list(family, {TcpState::established, TcpState::close_wait}, ports);
            if (!connections) return;
            for (const TcpSocket& socket : *connections)
                if (const auto app = apps.find(socket.port); app != apps.end()) ++open[app->second];
        }
        to.begin(metric("cluster_app_open_connections"));
        for (const auto& [app, count] : open)
            if (const auto labels = app_labels_.find(app); labels != app_labels_.end())
                to.sample(labels->second, count);
    }

    void accept_queues(Exposition& to)
    {
        const auto each_address = [&](std::string_view name,
                                      std::uint64_t AddressFigures::* member) {
            to.begin(metric(name));
            for (const auto& [key, figures] : addresses_)
                if (const auto labels = app_labels_.find(key.first); labels != app_labels_.end())
                    to.sample(labels->second.with("address", key.second), figures.*member);
        };
        each_address("cluster_app_accept_queue_length", &AddressFigures::waiting);
        each_address("cluster_app_accept_queue_limit", &AddressFigures::may_wait);
    }

    void worker_states(Exposition& to)
    {
        using enum State;
        each(to, "cluster_worker_state", [&](const WorkerFigures& w) {
            for (const State state :
                 {stopped, launching, online, stopping, waiting_restart, errored})
                to.sample(w.labels.with("state", name_of(state)),
                          std::uint64_t{w.state == state ? 1U : 0U});
        });
        gauge_of(to, "cluster_worker_up", &WorkerFigures::up);
        gauge_of(to, "cluster_worker_ready", &WorkerFigures::ready);
        some_of(to, "cluster_worker_start_time_seconds", &WorkerFigures::started_s);
    }

    void worker_resources(Exposition& to)
    {
        gauge_of(to, "cluster_worker_cpu_seconds_total", &WorkerFigures::cpu_s);
        gauge_of(to, "cluster_worker_resident_memory_bytes", &WorkerFigures::memory);
        some_of(to, "cluster_worker_cgroup_memory_bytes", &WorkerFigures::group_memory);
        some_of(to, "cluster_worker_memory_limit_bytes", &WorkerFigures::memory_limit);
        gauge_of(to, "cluster_worker_tasks", &WorkerFigures::tasks);
        each(to, "cluster_worker_event_loop_lag_seconds", [&](const WorkerFigures& w) {
            if (w.loop_lag_s) to.sample(w.labels, *w.loop_lag_s);
        });
    }

    void worker_ends(Exposition& to)
    {
        gauge_of(to, "cluster_worker_restarts_total", &WorkerFigures::restarts);
        gauge_of(to, "cluster_worker_unstable_restarts", &WorkerFigures::unstable_restarts);
        each(to, "cluster_worker_exits_total", [&](const WorkerFigures& w) {
            for (std::size_t at = 0; at < kExitReasons; ++at)
                to.sample(w.labels.with("reason", name_of(static_cast<ExitReason>(at))),
                          w.exits[at]);
        });
    }

    void worker_logs(Exposition& to)
    {
        const auto count = [&](std::string_view name, std::uint64_t LogFigures::* figure) {
            each(to, name, [&](const WorkerFigures& w) {
                for (const StreamFigures& of : w.logs)
                    to.sample(w.labels.with("stream", of.stream), of.log.*figure);
            });
        };
        count("cluster_worker_log_bytes_total", &LogFigures::bytes);
        count("cluster_worker_log_lost_bytes_total", &LogFigures::lost_bytes);
        count("cluster_worker_log_lost_lines_total", &LogFigures::lost_lines);
    }

    void log_sinks(Exposition& to)
    {
        const auto sinks = supervisor_.shipping().figures();
        const auto each_sink = [&](std::string_view name, auto figure) {
            to.begin(metric(name));
            for (const auto& [sink, figures] : sinks)
                to.sample(Labels{{"sink", sink}}, figure(figures));
        };
        using Figures = SinkConnection::Figures;
        each_sink("cluster_log_sink_lines_total", [](const Figures& of) { return of.sent; });
        each_sink("cluster_log_sink_lost_lines_total", [](const Figures& of) { return of.lost; });
        each_sink("cluster_log_sink_connected",
                  [](const Figures& of) { return std::uint64_t{of.connected}; });
    }

    Supervisor& supervisor_;
    DaemonFigures daemon_;
    double waited_s_;
    std::vector<int> ids_;
    std::size_t at_ = 0;   ///< of `ids_`
    std::size_t step_ = 0; ///< once all are gathered
    std::vector<WorkerFigures> workers_;
    std::map<std::string, Labels> app_labels_;
    std::map<std::pair<std::string, std::string>, AddressFigures> addresses_; ///< app, address
};

} // namespace

ipc::Producer scrape(Supervisor& supervisor, DaemonFigures daemon, double waited_s)
{
    auto one = std::make_shared<Scrape>(supervisor, std::move(daemon), waited_s);
    return [one](std::string& out) { return one->next(out); };
}

std::span<const Metric> all_metrics()
{
    return kMetrics;
}

} // namespace cluster::supervisor
