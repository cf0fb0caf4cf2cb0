#include "supervisor/engine/node_cluster.hpp"

#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/node_listener.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string_view>
#include <utility>
#include <variant>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kUnusedFor{5};
constexpr int kFirstDeclared = 3; ///< man 3 sd_listen_fds

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};

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

} // namespace

bool is_node_cluster(const ipc::AppSpec& spec)
{
    const std::string_view program =
        std::string_view{spec.interpreter}.substr(spec.interpreter.rfind('/') + 1); // npos + 1 is 0
    return spec.exec_mode == ipc::ExecMode::cluster &&
           (program == "node" || program == "nodejs" || program == "bun");
}

NodeHandle::NodeHandle(NodeAddress where, ipc::UniqueFd opened, std::string shared, NodeOwner whose)
    : address{std::move(where)}, socket{std::move(opened)}, data{std::move(shared)}, owner{whose}
{
}

NodeHandle::~NodeHandle()
{
    if (address.type == NodeAddressType::path) remove_path(address.text, owner);
}

NodeHandles::NodeHandles(boost::asio::io_context& loop, ipc::System& system)
    : system_{system}, timer_{loop}
{
}

std::expected<std::shared_ptr<NodeHandle>, int>
NodeHandles::get(const NodeQuery& query, const NodeOpener& opener,
                 const std::vector<std::shared_ptr<NodeHandle>>& in_use)
{
    const auto is_free = [&](const std::shared_ptr<NodeHandle>& handle) {
        return same_place(handle->address, query.address) &&
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
    auto socket = open(query.address, opener);
    if (!socket) return std::unexpected(socket.error());
    return handles_.emplace_back(
        std::make_shared<NodeHandle>(query.address, std::move(*socket), query.data, opener.owner));
}

std::expected<ipc::UniqueFd, int> NodeHandles::open(const NodeAddress& address,
                                                    const NodeOpener& opener)
{
    switch (address.type) {
    case NodeAddressType::path:
        return or_errno(bind_path(system_, address.text, opener.owner));
    case NodeAddressType::descriptor: {
        const auto& declared = opener.app->listeners;
        const auto number = static_cast<std::size_t>(address.fd - kFirstDeclared);
        if (address.fd < kFirstDeclared || number >= declared.size())
            return std::unexpected(EINVAL);
        return or_errno(share_socket(declared[number]->socket.get()));
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
    std::erase_if(handles_, [](const auto& handle) { return handle.use_count() == 1; });
}

NodeMember::NodeMember(boost::asio::io_context& loop, ipc::UniqueFd ours,
                       std::shared_ptr<NodeHandles> handles, NodeOpener opener)
    : handles_{std::move(handles)}, opener_{std::move(opener)}, limit_{loop},
      channel_{loop, std::move(ours), [this](const NodeMessage& message) { on_message(message); },
               [this] { on_end(); }}
{
    handles_->add_member(*this);
}

NodeMember::~NodeMember()
{
    handles_->remove_member(*this);
}

bool NodeMember::drain(std::chrono::milliseconds limit, std::function<void()> on_done)
{
    const auto listening = [](const auto& entry) { return entry.second.listening; };
    if (channel_.ended() || open_.empty() || !std::ranges::all_of(open_, listening)) return false;
    channel_.send(node_disconnect());
    on_drained_ = std::move(on_done);
    limit_.expires_after(limit);
    limit_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (!cancelled && !alive.expired()) on_end();
    });
    return true;
}

void NodeMember::on_message(const NodeMessage& message)
{
    std::visit(Overloaded{[this](const NodeQuery& query) { on_query(query); },
                          [this](const NodeListening& listening) { on_listening(listening); },
                          [this](const NodeClosed& closed) {
                              if (open_.erase(closed.key) > 0) handles_->tidy_later();
                          },
                          [this](const NodeLeaving& leaving) {
                              channel_.send(node_leave_reply(leaving.seq));
                          },
                          [](const auto&) {}},
               message);
}

void NodeMember::on_query(const NodeQuery& query)
{
    std::vector<std::shared_ptr<NodeHandle>> in_use;
    for (const auto& [key, open] : open_)
        in_use.push_back(open.handle);
    const auto handle = handles_->get(query, opener_, in_use);
    if (!handle)
        return channel_.send(
            node_error_reply(query.seq, query.address, query.data, handle.error()));
    open_[node_key(query.address)] = {.address = query.address, .handle = *handle};
    channel_.send(node_handle_reply(query.seq, query.address, (*handle)->data),
                  std::shared_ptr<const ipc::UniqueFd>{*handle, &(*handle)->socket});
}

void NodeMember::on_listening(const NodeListening& listening)
{
    const auto about = std::ranges::find_if(open_, [&](const auto& entry) {
        NodeAddress asked = entry.second.address;
        if (asked.port == 0) asked.port = listening.address.port;
        return !entry.second.listening && same_place(asked, listening.address) &&
               asked.index == listening.address.index;
    });
    if (about != open_.end()) about->second.listening = true;
    listened_ = true;
    handles_->tidy_later();
}

/// Of the channel, or of our patience.
void NodeMember::on_end()
{
    limit_.cancel();
    if (on_drained_) std::exchange(on_drained_, nullptr)();
}

} // namespace cluster::supervisor
