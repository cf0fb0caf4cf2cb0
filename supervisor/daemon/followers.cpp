#include "supervisor/daemon/followers.hpp"

#include "supervisor/core/targets.hpp"
#include "supervisor/daemon/json_object.hpp"
#include "supervisor/daemon/render.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::supervisor {
namespace {

constexpr std::size_t kMaxUnsent = 1U << 20U;      ///< then lines are dropped
constexpr std::size_t kMaxUnfinished = 64U << 10U; ///< a longer line is sent in parts

/// What the outside calls a transition; "" for what is no event of its own.
std::string_view event_name(const Worker& worker, Event event)
{
    switch (event) {
    case Event::start_asked:
        return "launch";
    case Event::ready:
        return "online";
    case Event::restart_asked:
        return "restart";
    case Event::stop_asked:
        return "stop";
    case Event::delete_asked:
        return "delete";
    case Event::gone:
        return worker.life.state == State::errored   ? "errored"
               : worker.life.state == State::stopped ? "stopped"
                                                     : "exit";
    case Event::spawn_failed:
    case Event::unkillable:
        return "errored";
    case Event::spawn_postponed:
        return worker.life.state == State::errored ? "errored" : "postponed";
    case Event::overdue:
        return "overdue";
    case Event::drained:
        return "drained";
    case Event::timer_fired:
        return worker.life.state == State::launching ? "launch" : "";
    }
    return "";
}

} // namespace

int Followers::add(const std::shared_ptr<ipc::Session>& session, Subscription subscription)
{
    const int number = next_++;
    subscription.session = session;
    subscriptions_.emplace(number, std::move(subscription));
    session->on_close([this, number] {
        subscriptions_.erase(number);
        set_tap();
    });
    set_tap();
    return number;
}

int Followers::follow_logs(const std::shared_ptr<ipc::Session>& session, LogFilter filter)
{
    if (filter.takes) session->be_patient([this] { supervisor_.logs().wake(); });
    Subscription subscription;
    subscription.filter = std::move(filter);
    const int number = add(session, std::move(subscription));
    supervisor_.logs().wake();
    return number;
}

bool Followers::taken() const
{
    return std::ranges::any_of(subscriptions_, [](const auto& entry) {
        if (!entry.second.filter.takes) return false;
        const auto session = entry.second.session.lock();
        return session && session->unsent() == 0; // what is in our memory dies with us
    });
}

int Followers::follow_events(const std::shared_ptr<ipc::Session>& session)
{
    Subscription subscription;
    subscription.events = true;
    return add(session, std::move(subscription));
}

bool Followers::unfollow(const std::shared_ptr<ipc::Session>& session, int number)
{
    const auto found = subscriptions_.find(number);
    if (found == subscriptions_.end() || found->second.session.lock() != session) return false;
    subscriptions_.erase(found);
    set_tap();
    return true;
}

void Followers::set_tap()
{
    const bool any =
        std::ranges::any_of(subscriptions_, [](const auto& entry) { return !entry.second.events; });
    if (!any) return supervisor_.logs().set_tap({});
    supervisor_.logs().set_tap([this](int worker, StreamKind kind, std::string_view bytes) {
        on_bytes(worker, kind, bytes);
    });
}

bool Followers::wants(const Subscription& subscription, const Worker& worker, StreamKind kind) const
{
    const LogFilter& filter = subscription.filter;
    if (subscription.events || !(kind == StreamKind::out ? filter.out : filter.err)) return false;
    if (filter.targets.empty()) return true;
    const std::vector<TargetView> view{{.id = worker.id,
                                        .name = worker.spec().name,
                                        .name_space = worker.spec().name_space,
                                        .script = worker.spec().script}};
    return std::ranges::any_of(filter.targets, [&](const std::string& target) {
        return !resolve_target(target, filter.cwd, view).empty();
    });
}

void Followers::on_bytes(int id, StreamKind kind, std::string_view bytes)
{
    const Worker* worker = supervisor_.find(id);
    if (!worker) return;
    std::vector<int> numbers; // a send may close a session and with it its subscription
    for (const auto& [number, subscription] : subscriptions_) {
        if (wants(subscription, *worker, kind)) numbers.push_back(number);
    }
    for (const int number : numbers) {
        const auto found = subscriptions_.find(number);
        if (found == subscriptions_.end()) continue;
        Subscription& to = found->second;
        std::string& held = to.unfinished[{id, kind}];
        held += bytes;
        auto end = held.rfind('\n');
        if (end == std::string::npos) {
            if (held.size() < kMaxUnfinished) continue;
            end = held.size();
        }
        const std::string text = held.substr(0, end);
        held.erase(0, std::min(end + 1, held.size()));
        send_lines(number, to, *worker, kind, text);
    }
}

/// The line that a process left unfinished: nothing more will be added to it.
void Followers::end_lines(const Worker& worker)
{
    std::vector<int> numbers; // as above
    for (const auto& [number, subscription] : subscriptions_)
        numbers.push_back(number);
    for (const int number : numbers) {
        for (const StreamKind kind : {StreamKind::out, StreamKind::err}) {
            const auto found = subscriptions_.find(number);
            if (found == subscriptions_.end()) break;
            const auto held = found->second.unfinished.extract({worker.id, kind});
            if (held && !held.mapped().empty())
                send_lines(number, found->second, worker, kind, held.mapped());
        }
    }
}

void Followers::send_lines(int number, Subscription& to, const Worker& worker, StreamKind kind,
                           std::string_view text)
{
    const auto session = to.session.lock();
    if (!session) return;
    const auto count = static_cast<std::uint64_t>(std::ranges::count(text, '\n')) + 1;
    if (session->unsent() > kMaxUnsent && !to.filter.takes) {
        to.dropped += count;
        dropped_ += count;
        return;
    }
    if (const std::uint64_t dropped = std::exchange(to.dropped, 0); dropped > 0) {
        session->notify(
            ipc::notification_frame("log", {{"subscription", number}, {"dropped", dropped}}));
    }
    std::string lines;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        if (begin > 0) lines += ',';
        append_json(lines, text.substr(begin, end - begin));
        begin = end + 1;
    }
    std::string name;
    append_json(name, worker.spec().name);
    session->notify(fmt::format(
        R"({{"jsonrpc":"2.0","method":"log","params":{{"subscription":{},"id":{},"name":{},)"
        R"("stream":"{}","at":{},"lines":[{}]}}}})"
        "\n",
        number, worker.id, name, kind == StreamKind::out ? "out" : "err",
        supervisor_.clock().wall_ms(), lines));
}

void Followers::on_transition(const Worker& worker, Event event)
{
    if (event == Event::gone) end_lines(worker);
    const std::string_view name = event_name(worker, event);
    if (name.empty()) return;
    for (auto entry = subscriptions_.begin(); entry != subscriptions_.end();) {
        const int number = entry->first;
        const auto session = entry->second.events ? entry->second.session.lock() : nullptr;
        ++entry; // notify may close the session and erase its subscription
        if (!session) continue;
        std::string process;
        append_process(process, supervisor_, worker);
        std::string cause;
        append_json(cause, worker.cause);
        session->notify(fmt::format(
            R"({{"jsonrpc":"2.0","method":"event","params":{{"subscription":{},"at":{},)"
            R"("event":"{}","process":{},"cause":{}}}}})"
            "\n",
            number, supervisor_.clock().wall_ms(), name, process, cause));
    }
}

} // namespace cluster::supervisor
