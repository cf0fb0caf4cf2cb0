#include "supervisor/engine/node_cluster.hpp"

#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/listeners.hpp"
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

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};

void call_once(std::function<void()>& slot)
{
    if (const auto callback = std::exchange(slot, nullptr)) callback();
}

} // namespace

bool has_node_channel(const ipc::AppSpec& spec)
{
    const std::string_view program =
        std::string_view{spec.interpreter}.substr(spec.interpreter.rfind('/') + 1); // npos + 1 is 0
    return program == "node" || program == "nodejs" || program == "bun";
}

bool is_node_cluster(const ipc::AppSpec& spec)
{
    return spec.exec_mode == ipc::ExecMode::cluster && has_node_channel(spec);
}

NodeMember::NodeMember(boost::asio::io_context& loop, ipc::UniqueFd ours,
                       std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events)
    : handles_{std::move(handles)}, opener_{std::move(opener)}, events_{std::move(events)},
      limit_{loop},
      channel_{loop, std::move(ours), [this](const NodeMessage& message) { on_message(message); },
               [this] { on_end(); }}
{
    if (handles_) handles_->add_member(*this);
}

NodeMember::~NodeMember()
{
    open_.clear();
    if (handles_) handles_->remove_member(*this);
}

std::vector<std::uint64_t> NodeMember::retired_sockets() const
{
    std::vector<std::uint64_t> inodes;
    for (const auto& [key, open] : open_) {
        if (!open.handle->group || open.handle->live) return {};
        inodes.push_back(inode_of(open.handle->socket.get()));
    }
    return inodes;
}

bool NodeMember::drain(std::chrono::milliseconds limit, std::function<void()> on_done)
{
    if (channel_.ended()) return false;
    if (!draining_) {
        if (open_.empty() || !all_listen()) return false;
        draining_ = true;
        channel_.send(node_disconnect());
    }
    on_drained_.push_back(std::move(on_done));
    limit_.expires_after(limit);
    limit_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired()) return;
        // One that had ended already when a later drain moved the limit comes all the same.
        if (limit_.expiry() <= std::chrono::steady_clock::now()) on_end();
    });
    return true;
}

bool NodeMember::send_message(std::string_view json_text)
{
    if (channel_.ended() || channel_.full()) return false;
    channel_.send_plain(std::string{json_text} + "\n");
    return true;
}

bool NodeMember::offer_connection(ipc::UniqueFd connected, std::uint16_t port)
{
    if (channel_.ended() || draining_) return false;
    const auto server = std::ranges::find_if(served_, [&](const Served& served) {
        return !served.key.empty() && served.tcp_port != 0 &&
               (port == 0 || served.tcp_port == port);
    });
    if (server == served_.end()) return false;
    std::erase_if(offers_, [](const auto& offer) { return offer.expired(); });
    auto shared = share_socket(connected.get()); // libuv does not ask whether it would block
    if (!shared) return false;
    if (offers_.size() >= kMaxOffers) return true;
    const auto handle = std::make_shared<const ipc::UniqueFd>(std::move(*shared));
    offers_.emplace_back(handle);
    channel_.send(node_new_connection(server->key), handle);
    return true;
}

std::vector<std::string> NodeMember::addresses() const
{
    std::vector<std::string> places;
    for (const Served& served : served_)
        places.push_back(served.place);
    return places;
}

std::vector<std::uint16_t> NodeMember::tcp_ports() const
{
    return {tcp_ports_.begin(), tcp_ports_.end()};
}

void NodeMember::on_message(const NodeMessage& message)
{
    std::visit(Overloaded{[this](const NodeQuery& query) { on_query(query); },
                          [this](const NodeListening& listening) { on_listening(listening); },
                          [this](const NodeClosed& closed) { on_closed(closed); },
                          [this](const NodeLeaving& leaving) {
                              channel_.send(node_leave_reply(leaving.seq));
                          },
                          [this](const NodeReady&) { call_once(events_.on_ready); },
                          [](const auto&) {}},
               message);
}

void NodeMember::on_query(const NodeQuery& query)
{
    const auto refuse = [&](int error) {
        channel_.send(node_error_reply(query.seq, query.address, query.data, error));
    };
    if (!handles_) return refuse(ENOTSUP);
    std::vector<std::shared_ptr<NodeHandle>> in_use;
    for (const auto& [key, open] : open_)
        in_use.push_back(open.handle);
    const auto handle = handles_->get(query, opener_, in_use);
    if (!handle) return refuse(handle.error());
    open_[node_key(query.address)] = {.address = query.address, .handle = *handle};
    channel_.send(node_handle_reply(query.seq, query.address, (*handle)->data),
                  std::shared_ptr<const ipc::UniqueFd>{*handle, &(*handle)->socket});
}

void NodeMember::on_listening(const NodeListening& listening)
{
    if (!handles_) return;
    const auto about = std::ranges::find_if(open_, [&](const auto& entry) {
        NodeAddress asked = entry.second.address;
        const bool port_unknown = asked.port == 0 || asked.type == NodeAddressType::descriptor;
        if (port_unknown) asked.port = listening.address.port;
        return !entry.second.listening && same_place(asked, listening.address) &&
               asked.index == listening.address.index;
    });
    if (about != open_.end()) about->second.listening = true;
    remember(about != open_.end() ? about->first : "", listening.address);
    listened_ = true;
    handles_->tidy_later();
    if (all_listen()) call_once(events_.on_listening);
}

void NodeMember::on_closed(const NodeClosed& closed)
{
    if (open_.erase(closed.key) == 0) return;
    if (!draining_)
        std::erase_if(served_, [&](const Served& served) { return served.key == closed.key; });
    if (handles_) handles_->tidy_later();
    if (listened_ && all_listen()) call_once(events_.on_listening);
}

void NodeMember::remember(std::string key, const NodeAddress& address)
{
    if (served_.size() >= NodeHandles::kMaxHandles) return;
    const std::uint16_t port = node_tcp_port(address);
    if (port != 0) tcp_ports_.insert(port);
    const auto& listeners = opener_.app->listeners;
    const bool is_declared = address.type == NodeAddressType::descriptor &&
                             node_declared_number(address) < listeners.size();
    std::string place = is_declared ? listeners[node_declared_number(address)]->bound_address()
                                    : node_place(address);
    // One that binds by itself does not tell when it closes, but may well open again.
    if (key.empty() && std::ranges::count(served_, place, &Served::place) > 0) return;
    served_.push_back({.key = std::move(key), .place = std::move(place), .tcp_port = port});
}

bool NodeMember::all_listen() const
{
    return std::ranges::all_of(open_, [](const auto& entry) { return entry.second.listening; });
}

/// Of the channel, or of our patience.
void NodeMember::on_end()
{
    limit_.cancel();
    const auto waiting = std::exchange(on_drained_, {});
    for (const auto& on_done : waiting)
        on_done(); // may destroy this
}

} // namespace cluster::supervisor
