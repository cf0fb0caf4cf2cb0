#include "supervisor/engine/node_cluster.hpp"

#include "supervisor/engine/node_saved.hpp"
#include "supervisor/engine/worker.hpp"
#include "supervisor/sys/listeners.hpp"
#include "supervisor/sys/node_listener.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>
#include <variant>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using nlohmann::json;

/// A worker that has been asked to disconnect closes its servers within this time, unless it hangs.
constexpr std::chrono::milliseconds kTimeToClose{200};

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

struct NodeMember::Past {
    struct Open {
        NodeAddress address;
        std::uint64_t handle = 0; ///< inode
        std::string data;
        bool listening = false;
    };
    std::uint64_t channel = 0; ///< inode
    NodeChannel::Past line{};
    unsigned generation = 0;
    NodeOwner owner{};
    std::vector<Open> open{};
    std::vector<Served> served{};
    std::vector<std::uint16_t> ports{};
    bool listened = false, draining = false, said = false;
};

NodeMember::NodeMember(boost::asio::io_context& loop, Keeper& keeper, ipc::UniqueFd ours,
                       std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events)
    : NodeMember{
          loop,  keeper, std::move(ours), std::move(handles), std::move(opener), std::move(events),
          Past{}}
{
}

NodeMember::NodeMember(boost::asio::io_context& loop, Keeper& keeper, ipc::UniqueFd ours,
                       std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events,
                       Past past)
    : handles_{std::move(handles)}, opener_{std::move(opener)}, events_{std::move(events)},
      served_{std::move(past.served)}, tcp_ports_{past.ports.begin(), past.ports.end()},
      listened_{past.listened}, draining_{past.draining}, said_{past.said}, limit_{loop},
      grace_{loop}, kept_{ours ? Kept{keeper, ours.get()} : Kept{}},
      channel_{loop, std::move(ours),
               NodeChannel::Calls{.message = [this](const NodeMessage& said) { on_message(said); },
                                  .end = [this] { on_end(); },
                                  .changed = [this] { changed(); }},
               std::move(past.line), [this](std::uint64_t inode) {
                   const auto handle = handles_ ? handles_->find(inode) : nullptr;
                   return std::shared_ptr<const ipc::UniqueFd>{handle,
                                                               handle ? &handle->socket : nullptr};
               }}
{
    if (!handles_) return;
    for (const Past::Open& was : past.open)
        open_[node_key(was.address)] = {.address = was.address,
                                        .handle = find_again(was.address, was.handle, was.data),
                                        .listening = was.listening};
    handles_->add_member(*this);
}

std::shared_ptr<NodeHandle> NodeMember::find_again(const NodeAddress& address, std::uint64_t inode,
                                                   const std::string& data)
{
    if (address.type != NodeAddressType::descriptor) return handles_->find(inode);
    return handles_->get({.seq = 0, .address = address, .data = data}, opener_, {})
        .value_or(nullptr);
}

json NodeMember::saved() const
{
    json open = json::array();
    for (const auto& [key, server] : open_) {
        const auto& handle = server.handle;
        open.push_back({{"address", saved_address(server.address)},
                        {"handle", handle ? inode_of(handle->socket.get()) : 0},
                        {"data", handle ? handle->data : "null"},
                        {"listening", server.listening}});
    }
    json served = json::array();
    for (const Served& server : served_)
        served.push_back({{"key", server.key}, {"place", server.place}, {"port", server.tcp_port}});
    return {{"channel", {{"inode", kept_.inode()}}},
            {"line", channel_.saved()},
            {"generation", opener_.generation},
            {"owner", saved_owner(opener_.owner)},
            {"open", std::move(open)},
            {"served", std::move(served)},
            {"ports", tcp_ports_},
            {"listened", listened_},
            {"draining", draining_},
            {"said", said_}};
}

std::optional<NodeMember::Past> NodeMember::read(const json& saved)
{
    SavedObject from{saved};
    const json* const channel = from.object("channel");
    const json* const line = from.object("line");
    if (!channel || !line) return std::nullopt;
    SavedObject descriptor{*channel};
    auto unsent = NodeChannel::Past::read(*line);
    const auto owner = read_owner(from.object("owner"));
    if (!unsent || !owner) return std::nullopt;
    Past past{.channel = descriptor.number<std::uint64_t>("inode"),
              .line = std::move(*unsent),
              .generation = from.number<unsigned>("generation"),
              .owner = *owner,
              .listened = from.flag("listened"),
              .draining = from.flag("draining"),
              .said = from.flag("said")};
    bool good = descriptor.good();
    for (const json& entry : from.list("open")) {
        SavedObject open{entry};
        const auto address = read_address(open.object("address"));
        if (!address) return std::nullopt;
        past.open.push_back({.address = *address,
                             .handle = open.number<std::uint64_t>("handle"),
                             .data = open.text("data"),
                             .listening = open.flag("listening")});
        good = good && open.good();
    }
    for (const json& entry : from.list("served")) {
        SavedObject served{entry};
        past.served.push_back({.key = served.text("key"),
                               .place = served.text("place"),
                               .tcp_port = served.number<std::uint16_t>("port")});
        good = good && served.good();
    }
    for (const json& entry : from.list("ports")) {
        if (!entry.is_number_unsigned() || entry > 0xffff) return std::nullopt;
        past.ports.push_back(entry.get<std::uint16_t>());
    }
    if (!good || !from.good()) return std::nullopt;
    return past;
}

ipc::Result<std::unique_ptr<NodeMember>>
NodeMember::restore(boost::asio::io_context& loop, Keeper& keeper, const json& saved, KeptFds& kept,
                    std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events)
{
    auto past = read(saved);
    if (!past) return ipc::fail(EINVAL, "what is saved of a Node worker");
    opener.generation = past->generation;
    opener.owner = past->owner;
    ipc::UniqueFd ours = kept.take(past->channel);
    return std::unique_ptr<NodeMember>{new NodeMember(loop, keeper, std::move(ours),
                                                      std::move(handles), std::move(opener),
                                                      std::move(events), std::move(*past))};
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
        if (!open.handle || !open.handle->group || open.handle->live) return {};
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
        changed();
        say_disconnect();
    } else if (!said_) {
        say_disconnect_unless_said();
    }
    on_drained_.push_back(std::move(on_done));
    limit_.expires_after(limit);
    limit_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired()) return;
        // One that had ended already when a later drain moved the limit comes all the same.
        if (limit_.expiry() <= std::chrono::steady_clock::now()) on_drained();
    });
    return true;
}

void NodeMember::say_disconnect()
{
    said_ = true;
    channel_.send(node_disconnect());
    changed();
}

/// A manager before us wanted to, and died before it could write down that it had. If it had, the
/// worker closes its servers any moment now.
void NodeMember::say_disconnect_unless_said()
{
    grace_.expires_after(kTimeToClose);
    grace_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (!cancelled && !alive.expired() && !said_) say_disconnect();
    });
}

void NodeMember::changed() const
{
    if (events_.on_change) events_.on_change();
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
    // Node asks once for each key. Once more: our answer was lost with the manager that gave it.
    Open& open = open_[node_key(query.address)];
    if (!open.handle) {
        std::vector<std::shared_ptr<NodeHandle>> in_use;
        for (const auto& [key, other] : open_)
            in_use.push_back(other.handle);
        const auto handle = handles_->get(query, opener_, in_use);
        if (!handle) {
            open_.erase(node_key(query.address));
            return refuse(handle.error());
        }
        open = {.address = query.address, .handle = *handle};
        changed();
    }
    channel_.send(node_handle_reply(query.seq, query.address, open.handle->data),
                  std::shared_ptr<const ipc::UniqueFd>{open.handle, &open.handle->socket});
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
    changed();
    if (all_listen()) call_once(events_.on_listening);
}

void NodeMember::on_closed(const NodeClosed& closed)
{
    if (open_.erase(closed.key) == 0) return;
    if (draining_)
        said_ = true;
    else
        std::erase_if(served_, [&](const Served& served) { return served.key == closed.key; });
    if (handles_) handles_->tidy_later();
    changed();
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

void NodeMember::on_end()
{
    kept_ = {};
    changed();
    on_drained();
}

/// The channel is closed, or our patience has ended.
void NodeMember::on_drained()
{
    limit_.cancel();
    const auto waiting = std::exchange(on_drained_, {});
    for (const auto& on_done : waiting)
        on_done(); // may destroy this
}

} // namespace cluster::supervisor
