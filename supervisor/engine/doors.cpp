// Supervisor, what stands between clients and workers: the sockets that each worker accepts from,
// whether they get connections, and whether the worker is known to serve.
#include "supervisor/engine/supervisor.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/listeners.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <ranges>
#include <utility>

namespace cluster::supervisor {
namespace {

bool has_own_socket(const Worker& worker, const Listener& listener)
{
    return worker.spec().balance == ipc::Balance::reuseport && !listener.is_unix();
}

/// A question over the network without a port goes to the worker itself; where the app's sockets
/// are shared, that takes one more, of its own.
bool wants_probe_socket(const ipc::AppSpec& spec, const std::optional<ipc::Probe>& probe)
{
    return probe && !probe->port && !spec.listen.empty() && !is_node_cluster(spec) &&
           (probe->kind == ipc::Probe::Kind::http || probe->kind == ipc::Probe::Kind::tcp);
}

/// To this worker, though others share the port: as if it had accepted the connection. Where it
/// listens by itself (bun, another port of its own), like anybody else.
ipc::Result<ipc::UniqueFd> dial_node(NodeMember& member, std::uint16_t port)
{
    auto pair = loopback_pair();
    if (!pair) return std::unexpected(pair.error());
    if (member.offer_connection(std::move(pair->theirs), port)) return std::move(pair->ours);
    const auto ports = member.tcp_ports();
    if (port == 0 && ports.empty()) return ipc::fail(ECONNREFUSED, "it does not listen yet");
    return dial_tcp("127.0.0.1", port != 0 ? port : ports.front());
}

/// As execvp(3) looks for it; a name that is not found stays, and fails with its own words.
std::string find_program(const std::string& name, std::string_view path)
{
    if (name.contains('/')) return name;
    for (const auto part : path | std::views::split(':')) {
        std::string full = std::string{std::string_view{part}} + "/" + name;
        if (::access(full.c_str(), X_OK) == 0) return full;
    }
    return name;
}

} // namespace

/// Those it has had before, as far as its app still declares them: what waits in the queue of one
/// that belongs to it alone is for its next process.
ipc::Result<void> Supervisor::take_sockets(Worker& worker)
{
    if (worker.app->listeners.size() != worker.spec().listen.size()) { // declared closed
        auto opened = declare(worker.spec(), worker.app->inherited);
        if (!opened) return std::unexpected(opened.error());
        change(worker, std::move(*opened));
    }
    const auto& listeners = worker.app->listeners;
    worker.sockets.resize(listeners.size());
    for (std::size_t at = 0; at < listeners.size(); ++at) {
        std::shared_ptr<ListenSocket>& socket = worker.sockets[at];
        Listener& listener = *listeners[at];
        if (socket && !listener.has(*socket)) socket.reset();
        if (socket) continue;
        if (!has_own_socket(worker, listener)) {
            socket = listener.current();
            continue;
        }
        auto own = listener.own();
        if (!own) return std::unexpected(own.error());
        socket = std::move(*own);
        recorder_->listeners();
    }
    const bool wanted = wants_probe_socket(worker.spec(), worker.spec().ready) ||
                        wants_probe_socket(worker.spec(), worker.spec().health);
    if (!wanted) {
        worker.probe_socket.reset();
        worker.probe_kept = {};
    }
    if (!wanted || worker.probe_socket) return {};
    auto probe = open_listener(around_.system, {.text = "127.0.0.1:0", .name = "probe"});
    if (!probe) return std::unexpected(probe.error());
    worker.probe_kept = Kept{around_.keeper, probe->get()};
    worker.probe_socket = std::move(*probe);
    return {};
}

/// Of a worker with a socket of its own; shared ones are always open.
void Supervisor::set_live(Worker& worker, bool live)
{
    const auto& listeners = worker.app->listeners;
    for (std::size_t at = 0; at < std::min(worker.sockets.size(), listeners.size()); ++at) {
        if (!worker.sockets[at] || !has_own_socket(worker, *listeners[at])) continue;
        recorder_->listeners();
        if (auto set = listeners[at]->set_live(*worker.sockets[at], live); !set)
            around_.log.error(
                fmt::format("{}:{} {}", worker.spec().name, worker.id, set.error().text()));
    }
}

ipc::Result<ListenSockets> Supervisor::next_generation(const App& app)
{
    ListenSockets sockets;
    for (const auto& listener : app.listeners) {
        const auto current = listener->current();
        const bool in_use = std::ranges::any_of(rows_, [&](const auto& row) {
            return std::ranges::count(row.second->sockets, current) > 0;
        });
        if (!in_use) { // declared just now
            sockets.push_back(current);
            continue;
        }
        auto next = listener->add();
        if (!next) return std::unexpected(next.error());
        sockets.push_back(std::move(*next));
        recorder_->listeners();
    }
    // What could not leave before may be able to now. Who finds the group half done has to know
    // who has joined.
    around_.keeper.flush();
    recorder_->flush();
    tidy_listeners();
    return sockets;
}

void Supervisor::go_live(const App& app, const ListenSockets& sockets)
{
    const auto node = node_handles_.find(app.spec.name);
    if (node != node_handles_.end())
        if (const auto handles = node->second.lock()) handles->go_live();
    std::vector<Listener*> others;
    for (std::size_t at = 0; at < sockets.size(); ++at)
        if (app.listeners[at]->choose_only(*sockets[at])) others.push_back(app.listeners[at].get());
    if (others.empty()) return;
    // Once the kernel knows, nobody can tell that it was not so before.
    recorder_->listeners();
    recorder_->flush();
    for (Listener* listener : others)
        if (auto steered = listener->steer(); !steered)
            around_.log.error(fmt::format("{} {}", app.spec.name, steered.error().text()));
}

void Supervisor::tidy_listeners()
{
    for (const auto& [address, known] : listeners_)
        if (const auto listener = known.lock(); listener && listener->tidy())
            recorder_->listeners();
}

std::vector<std::string> Supervisor::addresses(const Worker& worker) const
{
    if (worker.node && worker.node->listens()) return worker.node->addresses();
    std::vector<std::string> all;
    for (const auto& listener : worker.app->listeners)
        all.push_back(listener->bound_address());
    return all;
}

/// Readiness and health of the process that is about to be launched.
ipc::Result<void> Supervisor::prepare_serving(Worker& worker, LaunchPlan& plan,
                                              const std::optional<Identity>& identity)
{
    worker.serving.reset();
    worker.unready.clear();
    if (!Serving::is_wanted(worker.spec()) && !worker.must_listen) return {};
    worker.serving = make_serving(worker);
    const auto address = worker.serving->open_notify_socket(identity ? identity->uid : ::geteuid());
    if (!address) return std::unexpected(address.error());
    if (!address->empty()) plan.environment.push_back("NOTIFY_SOCKET=" + *address);
    if (worker.spec().watchdog > milliseconds{0})
        plan.environment.push_back(
            fmt::format("WATCHDOG_USEC={}", worker.spec().watchdog.count() * 1000));
    return {};
}

/// Generations keep a call for an older process from the next one.
std::unique_ptr<Serving> Supervisor::make_serving(const Worker& worker)
{
    return std::make_unique<Serving>(
        around_.loop, around_.clock, around_.keeper,
        std::shared_ptr<const ipc::AppSpec>{worker.app, &worker.app->spec},
        Serving::Calls{
            .ready = for_process(worker, [this](Worker& found) { happen(found, Event::ready); }),
            .overdue =
                [this, key = worker.key](const std::string& why) {
                    Worker* found = find_row(key);
                    if (!found || found->life.state != State::launching) return;
                    found->unready = why;
                    happen(*found, Event::overdue);
                },
            .sick =
                [this, key = worker.key](const std::string& why) {
                    if (Worker* found = find_row(key)) on_sick(*found, why);
                },
            .changed = for_process(worker, [this](Worker& found) {
                recorder_->row(found);
                recorder_->flush();
            })});
}

void Supervisor::start_serving(Worker& worker, const std::optional<Identity>& identity)
{
    if (!worker.serving) return happen(worker, Event::ready);
    read_output(worker);
    worker.serving->start({.ready = means_of(worker, worker.spec().ready, identity),
                           .health = means_of(worker, worker.spec().health, identity)},
                          worker.must_listen);
}

/// For the probes that look at what it writes.
void Supervisor::read_output(Worker& worker)
{
    if (!worker.serving->reads_output()) return;
    for (LogStream* stream : {worker.out.get(), worker.err.get()}) {
        if (!stream) continue;
        stream->set_tap([this, key = worker.key, kind = stream->kind()](std::string_view bytes) {
            Worker* found = find_row(key);
            if (found && found->serving) found->serving->on_output(kind, bytes);
        });
    }
}

/// It is on its way out: what it says and answers is of no interest any more.
void Supervisor::stop_serving(Worker& worker)
{
    worker.serving.reset();
    for (LogStream* stream : {worker.out.get(), worker.err.get()})
        if (stream) stream->set_tap({});
}

ProbeMeans Supervisor::means_of(const Worker& worker, const std::optional<ipc::Probe>& probe,
                                const std::optional<Identity>& identity)
{
    // With the rights of the process, not of a user database that may be away by then.
    const auto plan_command = [this, key = worker.key,
                               identity](const std::vector<std::string>& argv) {
        LaunchPlan plan;
        const Worker* found = find_row(key);
        if (!found) return plan;
        plan = plan_launch(*found, identity);
        plan.argv = argv;
        const ipc::Environment environment = environment_of(*found);
        const auto path = environment.find("PATH");
        plan.program = find_program(argv.front(), path == environment.end() ? "" : path->second);
        return plan;
    };
    return {.dial = probe ? dial_of(worker, *probe) : Dial{},
            .host_header = "localhost",
            .plan_command = plan_command,
            .launcher = around_.launcher,
            .system = around_.system};
}

Dial Supervisor::dial_of(const Worker& worker, const ipc::Probe& probe)
{
    const auto port_asked = static_cast<std::uint16_t>(probe.port.value_or(0));
    if (is_node_cluster(worker.spec()))
        return [this, key = worker.key, port_asked]() -> ipc::Result<ipc::UniqueFd> {
            const Worker* found = find_row(key);
            if (!found || !found->node) return ipc::fail(ECONNREFUSED, "it does not run");
            return dial_node(*found->node, port_asked);
        };
    if (probe.port) return [port_asked] { return dial_tcp("127.0.0.1", port_asked); };
    if (worker.probe_socket)
        return [port = port_of(worker.probe_socket.get())] { return dial_tcp("127.0.0.1", port); };
    const ipc::Environment environment = environment_of(worker);
    const auto port = environment.find("PORT");
    const auto number =
        port == environment.end() ? std::nullopt : ipc::parse_number<std::uint16_t>(port->second);
    return [number]() -> ipc::Result<ipc::UniqueFd> {
        if (!number) return ipc::fail(EINVAL, "PORT is no port");
        return dial_tcp("127.0.0.1", *number);
    };
}

void Supervisor::on_sick(Worker& worker, const std::string& why)
{
    if (worker.life.state != State::online && worker.life.state != State::launching) return;
    around_.log.warn(fmt::format("{}:{} {}", worker.spec().name, worker.id, why));
    ask(worker, Event::restart_asked, why);
}

} // namespace cluster::supervisor
