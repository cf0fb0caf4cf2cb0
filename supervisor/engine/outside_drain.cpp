#include "supervisor/engine/outside_drain.hpp"

#include "supervisor/sys/process_table.hpp"
#include "supervisor/sys/sampler.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace cluster::supervisor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr milliseconds kLookEvery{2};
/// Watched that closely are at most so many connections; a look at them takes 0.1 ms.
constexpr std::size_t kWatched = 64;
/// All others are looked at now and then, which is enough for those that have been quiet for long.
constexpr milliseconds kFullLookEvery{100};
/// After that others get their turn of being watched.
constexpr milliseconds kWatchedFor{500};
constexpr int kClosesPerPass = 64; ///< the loop has other work
constexpr milliseconds kScanEvery{20};
constexpr milliseconds kEmptyScanEvery{5};
/// Scanning /proc takes some 3 µs per descriptor, and these leave the CPU alone for the rest.
constexpr microseconds kScanPerSocket{50};
constexpr microseconds kFullLookPerConnection{40};
constexpr milliseconds kListEvery{100}; ///< listing all connections takes milliseconds
constexpr milliseconds kEmptyFor{10};   ///< a connection may be between accept and our scan
/// A handshake that takes longer has probably lost its client.
constexpr milliseconds kHandshakeGrace{1000};
constexpr milliseconds kIdlePass{20}; ///< when there is nothing that we may close

ConnectionSample sample_of(const TcpFigures& figures)
{
    return {.established = figures.state == TcpState::established,
            .receive_queue = figures.receive_queue,
            .unsent = figures.unsent,
            .received = figures.received,
            .sent = figures.sent,
            .retransmitted = figures.retransmitted,
            .unacknowledged = figures.unacknowledged,
            .segments_in = figures.segments_in,
            .sent_ago = figures.sent_ago,
            .received_ago = figures.received_ago,
            .ack_ago = figures.ack_ago};
}

/// A connection may be accepted a moment before the kernel calls it established.
constexpr auto kOpenStates = {TcpState::established, TcpState::close_wait, TcpState::syn_recv};

/// Whether the worker may have something to do on it. When the client has closed its side, it may
/// still wait for an answer: the worker will close. After our side has closed nothing is owed.
bool is_open(const TcpFigures& figures)
{
    return std::ranges::find(kOpenStates, figures.state) != kOpenStates.end();
}

std::uint64_t cookie_of(const TcpSocket& socket)
{
    return std::uint64_t{socket.id.idiag_cookie[1]} << 32 | socket.id.idiag_cookie[0];
}

template <class Values, class Value>
bool contains(const Values& values, const Value& value)
{
    return std::ranges::find(values, value) != std::ranges::end(values);
}

milliseconds at_least(milliseconds least, microseconds each, std::size_t count)
{
    const microseconds all = each * static_cast<microseconds::rep>(count);
    return std::max(least, std::chrono::duration_cast<milliseconds>(all));
}

} // namespace

OutsideDrain::OutsideDrain(boost::asio::io_context& loop, ipc::System& system,
                           const ipc::Clock& clock, Job job, OnDone on_done)
    : system_{system}, clock_{clock}, job_{std::move(job)}, on_done_{std::move(on_done)},
      timer_{loop}, self_{std::make_shared<OutsideDrain*>(this)}, ports_{job_.ports},
      began_{clock.now()}
{
    if (auto diag = SocketDiag::open()) diag_ = std::move(*diag);
    if (diag_) remember_listeners();
    arm(milliseconds{0});
}

void OutsideDrain::cancel()
{
    if (!on_done_) return; // it is over already
    cancelled_ = true;
    arm(milliseconds{0});
}

/// The ports tell connections of clients from those that the worker has opened. Asked at once: some
/// workers close their listeners as the first thing of their own drain.
void OutsideDrain::remember_listeners()
{
    std::set<std::uint64_t> ours{job_.listening.begin(), job_.listening.end()};
    for (const HeldSocket& held : sockets_held(system_, live_processes()))
        ours.insert(held.inode);
    std::vector<TcpSocket> listeners;
    for (const int family : {AF_INET, AF_INET6}) {
        const auto found = diag_->list(family, {TcpState::listen}, {});
        if (!found) return diag_.reset();
        listeners.insert(listeners.end(), found->begin(), found->end());
    }
    for (const TcpSocket& listener : listeners)
        if (ours.contains(listener.inode) && !contains(ports_, listener.port))
            ports_.push_back(listener.port);
    for (const TcpSocket& listener : listeners)
        if (contains(ports_, listener.port) && !contains(families_, listener.family))
            families_.push_back(listener.family);
    if (families_.empty()) families_ = {AF_INET, AF_INET6}; // all listeners are closed already
    if (!job_.still_accepts) return;
    for (const TcpSocket& half_open : list({TcpState::syn_recv}).value_or(Sockets{}))
        handshakes_.insert(cookie_of(half_open));
}

void OutsideDrain::arm(milliseconds after)
{
    timer_.expires_after(after);
    timer_.async_wait([weak = std::weak_ptr{self_}](const boost::system::error_code& error) {
        if (const auto self = weak.lock(); self && !error) (*self)->pass();
    });
}

void OutsideDrain::pass()
{
    if (!on_done_) return; // over, and cancelled before this turn
    if (cancelled_) return finish(DrainEnd::cancelled);
    if (!diag_) return finish(DrainEnd::not_allowed);
    const milliseconds now = clock_.now();
    if (now >= next_scan_) scan(now);
    if (process_gone_) return finish(DrainEnd::process_gone);
    look(now);
    if (is_over(now)) return finish(DrainEnd::empty);
    if (now - began_ >= job_.limit)
        return finish(denied_ ? DrainEnd::not_allowed : DrainEnd::limit);
    arm(std::min(next_pass(), began_ + job_.limit - now));
}

milliseconds OutsideDrain::next_pass() const
{
    if (connections_.empty()) return kEmptyScanEvery;
    return denied_ ? kIdlePass : kLookEvery;
}

/// The worker and all below it; nobody when it has ended.
std::vector<pid_t> OutsideDrain::live_processes()
{
    if (!lives(system_, job_.root, job_.start_time)) return {};
    return live_tree(system_, job_.root);
}

/// Nothing: the kernel did not tell, and is to be asked again.
std::optional<OutsideDrain::Sockets> OutsideDrain::list(std::initializer_list<TcpState> states)
{
    Sockets all;
    for (const int family : families_) {
        const auto found = diag_->list(family, states, ports_);
        if (!found) return std::nullopt;
        all.insert(all.end(), found->begin(), found->end());
    }
    return all;
}

/// Finds connections that are new, and drops those that the worker does not hold any more.
void OutsideDrain::scan(milliseconds now)
{
    tree_ = live_processes();
    if (tree_.empty()) {
        process_gone_ = true;
        return;
    }
    std::map<std::uint64_t, HeldSocket> held;
    for (const HeldSocket& socket : sockets_held(system_, tree_))
        held.emplace(socket.inode, socket);
    std::erase_if(connections_, [&](Connection& connection) {
        const auto still = held.find(connection.held.inode);
        if (still == held.end()) return true;
        connection.held = still->second; // in case that it has got another descriptor
        return false;
    });
    std::erase_if(sorted_, [&](std::uint64_t inode) { return !held.contains(inode); });

    bool all_sorted = sorted_.size() == held.size();
    if (!all_sorted && now >= next_list_) {
        all_sorted = add_connections(held);
        next_list_ = now + kListEvery;
    }
    if (all_sorted) certain_at_ = now;
    const milliseconds pause = connections_.empty() ? kEmptyScanEvery : kScanEvery;
    next_scan_ = now + at_least(pause, kScanPerSocket, held.size());
}

/// False: it is not known which of them are connections.
bool OutsideDrain::add_connections(const std::map<std::uint64_t, HeldSocket>& held)
{
    std::optional<Sockets> open{std::in_place};
    if (!ports_.empty()) open = list(kOpenStates);
    if (!open) return false;
    for (const TcpSocket& socket : *open) {
        const auto holder = held.find(socket.inode);
        if (holder == held.end() || sorted_.contains(socket.inode)) continue;
        connections_.push_back({.socket = socket, .held = holder->second, .history = {}});
    }
    for (const auto& [inode, socket] : held)
        sorted_.insert(inode);
    return true;
}

/// Looks at the connections, and closes the ones that are idle.
void OutsideDrain::look(milliseconds now)
{
    if (connections_.size() > kWatched && now >= next_rotation_) {
        std::ranges::rotate(connections_, connections_.begin() + kWatched);
        next_rotation_ = now + kWatchedFor;
    }
    std::size_t count = std::min(kWatched, connections_.size());
    if (now >= next_full_look_) {
        count = connections_.size();
        next_full_look_ = now + at_least(kFullLookEvery, kFullLookPerConnection, count);
    }
    std::vector<TcpSocket*> sockets;
    sockets.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        sockets.push_back(&connections_[i].socket);
    if (!diag_->refresh(sockets)) return; // figures of old would be taken for quiet ones

    int closes = 0;
    std::optional<bool> rests; // asked only when a connection depends on it
    for (std::size_t i = 0; i < count; ++i) {
        Connection& connection = connections_[i];
        ConnectionHistory& history = connection.history;
        history = observe(history, sample_of(connection.socket.figures), now);
        longest_gap_ = std::max(longest_gap_, history.longest_gap);
        const DrainPace pace{now - began_, job_.limit, longest_gap_};
        if (denied_ || closes == kClosesPerPass || judge(history, pace) != Verdict::idle) continue;
        if (!outlasts_a_wait_for_cpu(history, pace)) {
            if (!rests) rests = worker_rests();
            if (!*rests) continue;
        }
        if (close(connection)) ++closes;
    }
    std::erase_if(connections_, [](const Connection& c) { return !is_open(c.socket.figures); });
}

/// No thread of it has anything to do: what it has to say for now is written.
bool OutsideDrain::worker_rests()
{
    return std::ranges::none_of(tree_, [this](pid_t pid) { return has_work(system_, pid); });
}

/// False when it was not closed.
bool OutsideDrain::close(Connection& connection)
{
    const auto& [pid, fd, inode] = connection.held;
    ipc::UniqueFd& pidfd = pidfds_[pid];
    if (!pidfd)
        if (auto opened = system_.pidfd_open(pid)) pidfd = std::move(*opened);
    const auto outcome = close_connection(pidfd.get(), fd, inode, [&](const TcpFigures& figures) {
        return is_unchanged(connection.history, sample_of(figures));
    });
    if (outcome == CloseOutcome::gone) next_scan_ = milliseconds{0}; // who holds it now?
    if (outcome == CloseOutcome::not_allowed) denied_ = true;
    if (outcome != CloseOutcome::closed) return false;
    connection.socket.figures.state = TcpState::gone;
    ++closed_;
    return true;
}

bool OutsideDrain::is_over(milliseconds now)
{
    if (!connections_.empty() || handshakes_open(now) || count_waiting() > 0) {
        empty_since_.reset();
        last_question_ = false;
        return false;
    }
    if (!empty_since_) empty_since_ = now;
    if (!certain_at_ || *certain_at_ - *empty_since_ < kEmptyFor) return false;
    if (std::exchange(last_question_, true)) return true;
    // Who overlooks one cuts it: all that the worker holds is sorted once more.
    sorted_.clear();
    certain_at_.reset();
    next_scan_ = next_list_ = milliseconds{0};
    return false;
}

/// Whether a client that began to connect before the drain has not got through yet.
bool OutsideDrain::handshakes_open(milliseconds now)
{
    if (handshakes_.empty()) return false;
    if (now - began_ >= kHandshakeGrace) {
        handshakes_.clear();
        return false;
    }
    if (now < next_list_) return true;
    next_list_ = now + kListEvery;
    const auto half_opens = list({TcpState::syn_recv});
    if (!half_opens) return true;
    std::set<std::uint64_t> left;
    for (const TcpSocket& half_open : *half_opens)
        if (handshakes_.contains(cookie_of(half_open))) left.insert(cookie_of(half_open));
    handshakes_ = std::move(left);
    return !handshakes_.empty();
}

int OutsideDrain::count_waiting()
{
    if (job_.listening.empty()) return 0;
    const auto listeners = list({TcpState::listen});
    if (!listeners) return 1; // perhaps
    int waiting = 0;
    for (const TcpSocket& listener : *listeners)
        if (contains(job_.listening, listener.inode))
            waiting += static_cast<int>(listener.figures.receive_queue);
    return waiting;
}

void OutsideDrain::finish(DrainEnd end)
{
    const DrainFigures figures{.closed = closed_,
                               .open_left = static_cast<int>(connections_.size()),
                               .waiting_left = diag_ ? count_waiting() : 0};
    const OnDone on_done = std::exchange(on_done_, nullptr); // which may destroy us
    on_done(end, figures);
}

} // namespace cluster::supervisor
