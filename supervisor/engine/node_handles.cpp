#include "supervisor/engine/node_handles.hpp"

#include "supervisor/engine/node_cluster.hpp"
#include "supervisor/engine/node_saved.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/listeners.hpp"
#include "supervisor/sys/node_listener.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using nlohmann::json;

constexpr std::chrono::seconds kUnusedFor{5};

std::expected<ipc::UniqueFd, int> or_errno(ipc::Result<ipc::UniqueFd> result)
{
    if (result) return std::move(*result);
    const int error = result.error().code.value();
    return std::unexpected(error != 0 ? error : EINVAL);
}

bool is_datagram(NodeAddressType type)
{
    return type == NodeAddressType::udp4 || type == NodeAddressType::udp6;
}

bool is_tcp(NodeAddressType type)
{
    return type == NodeAddressType::tcp4 || type == NodeAddressType::tcp6;
}

BindPlace place_of(const NodeAddress& address)
{
    const bool datagram = is_datagram(address.type);
    return {.host = address.any ? "" : address.text,
            .port = static_cast<std::uint16_t>(address.port),
            .ipv6 = address.type == NodeAddressType::tcp6 || address.type == NodeAddressType::udp6,
            .datagram = datagram,
            .ipv6_only = (address.flags & kNodeIpv6Only) != 0,
            .reuse_address = !datagram || (address.flags & kNodeUdpReuseAddress) != 0};
}

constexpr int kFirstDeclared = 3; ///< man 3 sd_listen_fds

json saved_handle(const NodeHandle& handle)
{
    return {{"inode", handle.kept.inode()},
            {"address", saved_address(handle.address)},
            {"data", handle.data},
            {"owner", saved_owner(handle.owner)},
            {"generation", handle.generation},
            {"live", handle.live}};
}

/// A handle as it was written down, its socket not taken yet.
struct KnownHandle {
    std::uint64_t inode = 0;
    NodeAddress address;
    std::string data;
    NodeOwner owner;
    unsigned generation = 0;
    bool live = true;
};

std::optional<std::vector<KnownHandle>> read_handles(const json& saved)
{
    std::vector<KnownHandle> all;
    for (const json& entry : saved) {
        SavedObject from{entry};
        auto address = read_address(from.object("address"));
        const auto owner = read_owner(from.object("owner"));
        if (!address || !owner) return std::nullopt;
        all.push_back({.inode = from.number<std::uint64_t>("inode"),
                       .address = std::move(*address),
                       .data = from.text("data"),
                       .owner = *owner,
                       .generation = from.number<unsigned>("generation"),
                       .live = from.flag("live")});
        if (!from.good()) return std::nullopt;
    }
    return all;
}

struct KnownGroup {
    std::shared_ptr<NodeGroup> group; ///< null: they are no group
    std::vector<KnownHandle> handles;
};

std::optional<std::vector<KnownGroup>> read_groups(SavedObject& saved)
{
    std::vector<KnownGroup> all;
    for (const json& entry : saved.list("groups")) {
        SavedObject from{entry};
        auto handles = read_handles(from.list("handles"));
        const bool shared = from.flag("shared");
        if (!handles || !from.good()) return std::nullopt;
        all.push_back({std::make_shared<NodeGroup>(shared), std::move(*handles)});
    }
    auto others = read_handles(saved.list("others"));
    if (!others || !saved.good()) return std::nullopt;
    all.push_back({nullptr, std::move(*others)});
    return all;
}

} // namespace

std::size_t node_declared_number(const NodeAddress& address)
{
    // A lower descriptor becomes a number that no worker has sockets for.
    return static_cast<std::size_t>(address.fd - kFirstDeclared);
}

NodeHandle::NodeHandle(Keeper* keeper, NodeAddress where, ipc::UniqueFd opened, std::string shared,
                       NodeOwner whose)
    : address{std::move(where)}, socket{std::move(opened)}, data{std::move(shared)}, owner{whose}
{
    if (keeper) kept = Kept{*keeper, socket.get()};
}

NodeHandle::~NodeHandle()
{
    if (address.type == NodeAddressType::path) remove_path(address.text, owner);
    if (group) group->drop(*this);
}

std::vector<NodeHandle*> NodeGroup::close(const std::function<bool(const NodeHandle&)>& which)
{
    std::vector<GroupMember> members;
    for (const NodeHandle* handle : handles_)
        members.push_back(
            {.socket = handle->socket.get(), .live = handle->live, .leaving = which(*handle)});
    std::vector<NodeHandle*> left;
    for (const std::size_t at : leave_group(members))
        left.push_back(handles_[at]);
    std::vector<NodeHandle*> gone = std::exchange(handles_, std::move(left));
    std::erase_if(gone, [&](NodeHandle* it) { return std::ranges::count(handles_, it) > 0; });
    return gone;
}

/// It is closed in any case, and whoever is last of the group takes its place.
void NodeGroup::drop(NodeHandle& handle)
{
    const auto found = std::ranges::find(handles_, &handle);
    if (found == handles_.end()) return;
    *found = handles_.back();
    handles_.pop_back();
    shut_listener(handle.socket.get()); // for whoever holds it still
    steer();
}

void NodeGroup::set_live(unsigned generation)
{
    const bool any = std::ranges::any_of(
        handles_, [&](const NodeHandle* handle) { return handle->generation == generation; });
    if (!any) return; // the app listens elsewhere now; who is left there goes on
    for (NodeHandle* handle : handles_)
        handle->live = handle->generation == generation;
}

void NodeGroup::steer()
{
    std::vector<std::size_t> live;
    for (std::size_t at = 0; at < handles_.size(); ++at)
        if (handles_[at]->live) live.push_back(at);
    if (handles_.size() < 2 && live.size() == handles_.size() && !shared_) return;
    shared_ = true;
    if (!live.empty()) (void)supervisor::steer(handles_.front()->socket.get(), live);
}

NodeHandles::NodeHandles(boost::asio::io_context& loop, ipc::System& system, Keeper& keeper,
                         std::function<void()> on_change)
    : system_{system}, keeper_{keeper}, on_change_{std::move(on_change)}, timer_{loop}
{
}

json NodeHandles::saved() const
{
    json groups = json::array();
    json others = json::array();
    std::set<const NodeGroup*> done;
    for (const auto& handle : handles_) {
        const NodeGroup* const group = handle->group.get();
        if (!group) others.push_back(saved_handle(*handle));
        if (!group || !done.insert(group).second) continue;
        json members = json::array();
        for (const NodeHandle* const member : group->handles())
            members.push_back(saved_handle(*member));
        groups.push_back({{"shared", group->shared()}, {"handles", std::move(members)}});
    }
    return {{"live", live_}, {"groups", std::move(groups)}, {"others", std::move(others)}};
}

ipc::Result<std::shared_ptr<NodeHandles>> NodeHandles::restore(boost::asio::io_context& loop,
                                                               ipc::System& system, Keeper& keeper,
                                                               const json& saved, KeptFds& kept,
                                                               std::function<void()> on_change)
{
    SavedObject from{saved};
    const auto live = from.number<unsigned>("live");
    auto known = read_groups(from);
    if (!known) return ipc::fail(EINVAL, "what is saved of an app's sockets");
    auto table = std::make_shared<NodeHandles>(loop, system, keeper, std::move(on_change));
    table->live_ = live;
    for (KnownGroup& group : *known) {
        std::map<std::uint64_t, ipc::UniqueFd> sockets;
        for (const KnownHandle& was : group.handles)
            sockets[was.inode] = kept.take(was.inode);
        // The first one may be for a worker that has not called listen yet.
        const bool shared = group.group && group.handles.size() > 1;
        erase_from_group(group.handles, [&](const KnownHandle& was) {
            const ipc::UniqueFd& socket = sockets[was.inode];
            return !socket || (shared && !accepts(socket.get()));
        });
        for (KnownHandle& was : group.handles) {
            ipc::UniqueFd socket = std::move(sockets[was.inode]);
            const auto& handle = table->handles_.emplace_back(
                std::make_shared<NodeHandle>(&keeper, std::move(was.address), std::move(socket),
                                             std::move(was.data), was.owner));
            handle->generation = was.generation;
            handle->live = was.live;
            handle->group = group.group;
            if (group.group) group.group->add(*handle);
        }
        // What was written down may not have been done yet.
        if (group.group) group.group->steer();
    }
    table->tidy_later();
    return table;
}

std::vector<int> NodeHandles::stream_sockets() const
{
    std::vector<int> sockets;
    for (const auto& handle : handles_)
        if (!is_datagram(handle->address.type)) sockets.push_back(handle->socket.get());
    return sockets;
}

std::shared_ptr<NodeHandle> NodeHandles::find(std::uint64_t inode) const
{
    const auto found = std::ranges::find_if(
        handles_, [&](const auto& handle) { return inode != 0 && handle->kept.inode() == inode; });
    return found == handles_.end() ? nullptr : *found;
}

void NodeHandles::changed() const
{
    if (on_change_) on_change_();
}

std::expected<std::shared_ptr<NodeHandle>, int>
NodeHandles::get(const NodeQuery& query, const NodeOpener& opener,
                 const std::vector<std::shared_ptr<NodeHandle>>& in_use)
{
    if (query.address.type == NodeAddressType::descriptor) return get_declared(query, opener);
    const auto is_free = [&](const std::shared_ptr<NodeHandle>& handle) {
        return same_place(handle->address, query.address) &&
               (!handle->group || handle->generation == opener.generation) &&
               std::ranges::count(in_use, handle) == 0;
    };
    const auto same_index = [&](const std::shared_ptr<NodeHandle>& handle) {
        return is_free(handle) && handle->address.index == query.address.index;
    };
    auto known = std::ranges::find_if(handles_, same_index);
    // With port 0 another index is another port.
    if (known == handles_.end() && query.address.port != 0)
        known = std::ranges::find_if(handles_, is_free);
    if (known != handles_.end()) return *known;

    if (handles_.size() >= kMaxHandles) return std::unexpected(EMFILE);
    auto older = of_older(query.address);
    auto socket = older ? or_errno(join_socket(older->socket.get())) : open(query.address, opener);
    if (!socket) return std::unexpected(socket.error());
    const std::shared_ptr<NodeHandle> handle = handles_.emplace_back(
        std::make_shared<NodeHandle>(&keeper_, query.address, std::move(*socket),
                                     older ? older->data : query.data, opener.owner));
    handle->generation = opener.generation;
    handle->live = !older;
    if (older) handle->group = older->group;
    if (is_tcp(query.address.type) && !older) handle->group = std::make_shared<NodeGroup>();
    if (handle->group) handle->group->add(*handle);
    keeper_.flush();
    changed();
    const bool joined = std::exchange(older, nullptr) != nullptr;
    if (joined) drop_others(); // what could not leave before may be able to now
    return handle;
}

/// The one that another generation has for the same address and index.
std::shared_ptr<NodeHandle> NodeHandles::of_older(const NodeAddress& address) const
{
    const auto found = std::ranges::find_if(handles_, [&](const auto& handle) {
        return handle->group && same_place(handle->address, address) &&
               handle->address.index == address.index;
    });
    return found == handles_.end() ? nullptr : *found;
}

void NodeHandles::go_live()
{
    ++live_;
    for (const auto& handle : handles_)
        if (handle->group) handle->group->set_live(live_);
    changed();
    for (const auto& handle : handles_)
        if (handle->group) handle->group->steer();
    drop_others();
}

void NodeHandles::remove_member(const NodeMember& member)
{
    members_.erase(&member);
    drop_others();
}

/// What a generation that is over, or that never came to be, has left.
void NodeHandles::drop_others()
{
    drop_unused([this](const NodeHandle& handle) {
        return handle.group && handle.generation != live_ && !handle.live;
    });
}

void NodeHandles::drop_unused(const std::function<bool(const NodeHandle&)>& which)
{
    std::set<const NodeHandle*> unused;
    std::set<std::shared_ptr<NodeGroup>> groups;
    for (const auto& handle : handles_) {
        if (handle.use_count() > 1 || !which(*handle)) continue;
        unused.insert(handle.get());
        if (handle->group) groups.insert(handle->group);
    }
    if (unused.empty()) return;
    const auto is_unused = [&](const NodeHandle& handle) { return unused.contains(&handle); };
    std::set<const NodeHandle*> closed;
    for (const auto& group : groups)
        for (NodeHandle* handle : group->close(is_unused)) {
            handle->group.reset();
            closed.insert(handle);
        }
    // Without a group: written down as gone before it is. Whoever finds one that is not written
    // down closes it, too.
    std::vector<std::shared_ptr<NodeHandle>> gone;
    for (auto& handle : handles_)
        if (closed.contains(handle.get()) || (is_unused(*handle) && !handle->group))
            gone.push_back(std::move(handle));
    std::erase(handles_, nullptr);
    if (!gone.empty()) changed();
}

std::expected<std::shared_ptr<NodeHandle>, int> NodeHandles::get_declared(const NodeQuery& query,
                                                                          const NodeOpener& opener)
{
    std::erase_if(declared_, [](const auto& handle) { return handle.expired(); });
    if (declared_.size() >= kMaxHandles) return std::unexpected(EMFILE);
    auto socket = open(query.address, opener);
    if (!socket) return std::unexpected(socket.error());
    std::string data = query.data;
    for (const auto& known : declared_) {
        const auto handle = known.lock();
        if (handle && same_place(handle->address, query.address)) data = handle->data;
    }
    auto handle = std::make_shared<NodeHandle>(nullptr, query.address, std::move(*socket),
                                               std::move(data), opener.owner);
    declared_.push_back(handle);
    return handle;
}

std::expected<ipc::UniqueFd, int> NodeHandles::open(const NodeAddress& address,
                                                    const NodeOpener& opener)
{
    switch (address.type) {
    case NodeAddressType::path:
        return or_errno(bind_path(system_, address.text, opener.owner));
    case NodeAddressType::descriptor: {
        const std::size_t number = node_declared_number(address);
        if (number >= opener.sockets.size() || !opener.sockets[number])
            return std::unexpected(EINVAL);
        return or_errno(share_socket(opener.sockets[number]->fd.get()));
    }
    case NodeAddressType::other:
        return std::unexpected(EINVAL);
    default:
        if (address.port < 0 || address.port > std::numeric_limits<std::uint16_t>::max())
            return std::unexpected(EINVAL);
        return or_errno(bind_socket(place_of(address)));
    }
}

void NodeHandles::tidy_later()
{
    timer_.expires_after(kUnusedFor);
    timer_.async_wait([self = weak_from_this()](error_code cancelled) {
        const auto table = self.lock();
        if (table && !cancelled) table->tidy();
    });
}

void NodeHandles::tidy()
{
    // One owner for each row, one for each member, and the one that called us.
    const auto owners = static_cast<std::size_t>(weak_from_this().use_count()) - 1;
    const bool all_there = owners == 2 * members_.size();
    if (!all_there || !std::ranges::all_of(members_, &NodeMember::listens)) return;
    drop_unused([](const NodeHandle&) { return true; });
}

} // namespace cluster::supervisor
