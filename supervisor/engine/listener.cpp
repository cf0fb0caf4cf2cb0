#include "supervisor/engine/listener.hpp"

#include "supervisor/sys/listeners.hpp"

#include <algorithm>
#include <utility>

namespace cluster::supervisor {
namespace {

bool is_unused(const std::shared_ptr<ListenSocket>& socket)
{
    return socket.use_count() == 1;
}

} // namespace

Listener::Listener(ipc::ListenAddress address, Keeper& keeper, ipc::UniqueFd first)
    : address_{std::move(address)}, keeper_{keeper}
{
    sockets_.push_back(std::make_shared<ListenSocket>(keeper_, std::move(first), true));
}

Listener::Listener(ipc::ListenAddress address, Keeper& keeper,
                   std::vector<std::pair<ipc::UniqueFd, bool>> sockets_and_live)
    : address_{std::move(address)}, keeper_{keeper}
{
    for (auto& [fd, live] : sockets_and_live)
        sockets_.push_back(std::make_shared<ListenSocket>(keeper_, std::move(fd), live));
}

std::string Listener::bound_address() const
{
    return is_unix() ? address_.text : address_of(sockets_.front()->fd.get());
}

std::shared_ptr<ListenSocket> Listener::current() const
{
    const auto live = std::ranges::find_if(sockets_.rbegin(), sockets_.rend(),
                                           [](const auto& s) { return s->live; });
    return live == sockets_.rend() ? sockets_.back() : *live;
}

ipc::Result<std::shared_ptr<ListenSocket>> Listener::own()
{
    const auto unused = std::ranges::find_if(sockets_, is_unused);
    if (unused != sockets_.end()) return *unused;
    return add();
}

ipc::Result<std::shared_ptr<ListenSocket>> Listener::add()
{
    if (!is_unix()) (void)steer(); // who joins is not among those chosen
    auto joined = join_listener(address_, sockets_.front()->fd.get());
    if (!joined) return std::unexpected(joined.error());
    return sockets_.emplace_back(
        std::make_shared<ListenSocket>(keeper_, std::move(*joined), false));
}

bool Listener::has(const ListenSocket& socket) const
{
    return std::ranges::any_of(sockets_, [&](const auto& own) { return own.get() == &socket; });
}

bool Listener::choose_only(ListenSocket& socket)
{
    if (socket.live) return false;
    for (const auto& other : sockets_)
        other->live = other.get() == &socket;
    return true;
}

ipc::Result<void> Listener::set_live(ListenSocket& socket, bool live)
{
    if (std::exchange(socket.live, live) == live) return {};
    if (is_unix() && !live) return {}; // the path leads elsewhere by now
    return steer();
}

ipc::Result<void> Listener::steer()
{
    if (sockets_.size() < 2) {
        // Where there was a group, the number of its last choice would be that of who joins next.
        if (!is_unix()) (void)supervisor::steer(sockets_.front()->fd.get(), {0});
        return {};
    }
    // What was added last goes live, no other can.
    if (is_unix()) return sockets_.back()->live ? take_path(address_) : ipc::Result<void>{};
    std::vector<std::size_t> live;
    for (std::size_t at = 0; at < sockets_.size(); ++at)
        if (sockets_[at]->live) live.push_back(at);
    // With none live the last choice stays: connections wait where they waited.
    return live.empty() ? ipc::Result<void>{} : supervisor::steer(sockets_.front()->fd.get(), live);
}

bool Listener::tidy()
{
    if (is_unix()) return tidy_path();
    bool changed = false;
    for (const auto& socket : sockets_)
        if (is_unused(socket) && other_live(*socket)) changed |= std::exchange(socket->live, false);
    std::vector<GroupMember> members;
    for (const auto& socket : sockets_)
        members.push_back({.socket = socket->fd.get(),
                           .live = socket->live,
                           .leaving = is_unused(socket) && other_live(*socket)});
    if (std::ranges::none_of(members, &GroupMember::leaving)) return changed;
    std::vector<std::shared_ptr<ListenSocket>> left;
    for (const std::size_t at : leave_group(members))
        left.push_back(sockets_[at]);
    changed |= left.size() < sockets_.size();
    sockets_ = std::move(left);
    return changed;
}

bool Listener::tidy_path()
{
    const std::size_t count = sockets_.size();
    for (std::size_t at = 0; at < sockets_.size();) {
        if (!is_unused(sockets_[at]) || !other_live(*sockets_[at])) {
            ++at;
            continue;
        }
        if (at + 1 == sockets_.size() && !sockets_[at]->live) drop_path(address_);
        shut_listener(sockets_[at]->fd.get());
        sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return sockets_.size() != count;
}

bool Listener::other_live(const ListenSocket& socket) const
{
    return std::ranges::any_of(
        sockets_, [&](const auto& other) { return other.get() != &socket && other->live; });
}

} // namespace cluster::supervisor
