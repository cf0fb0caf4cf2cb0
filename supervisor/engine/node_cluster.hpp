// The primary's part of Node's cluster mode: an app's workers run `listen` unmodified, and all get
// the same socket from us.
//
// A NodeMember belongs to one process: its channel, and what it has open. Node programs that run
// alone (`exec_mode: fork`) have a channel too, for the messages of the app; they know nothing of
// the cluster.
//
// The process outlives us. What it says is heard at least once, by us or by who comes after us, and
// what follows from it stands in `saved` before we answer.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/engine/listener.hpp"
#include "supervisor/engine/node_channel.hpp"
#include "supervisor/engine/node_handles.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json_fwd.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct App;
class NodeMember;

/// Whether the app's workers talk to us as Node's cluster workers: `exec_mode: cluster`, and an
/// interpreter that knows how.
[[nodiscard]] bool is_node_cluster(const ipc::AppSpec& spec);

/// Whether the interpreter is one that opens NODE_CHANNEL_FD. Others must not have the variable:
/// a Node program that they start would look for a descriptor that it has not got, and crash.
[[nodiscard]] bool has_node_channel(const ipc::AppSpec& spec);

/// What the owner of a process wants to know. The first two are called at most once, on the loop,
/// and may destroy the member; a manager after us may be told of them again.
struct NodeEvents {
    std::function<void()> on_ready{};     ///< it has said `process.send('ready')`
    std::function<void()> on_listening{}; ///< each server that it has asked for accepts connections
    /// `saved` differs, and what follows from that has not happened yet. It must not destroy the
    /// member.
    std::function<void()> on_change{};
};

class NodeMember {
public:
    /// `ours` is our end of the worker's channel. Without `handles` it is a program that runs
    /// alone: it cannot have sockets from us, and never listens as far as we know.
    NodeMember(boost::asio::io_context& loop, Keeper& keeper, ipc::UniqueFd ours,
               std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events = {});
    /// For a process that runs already, as `saved` by a manager before us. Its `handles` have been
    /// restored; of `opener` generation and owner are those of then. A channel that is not in
    /// `kept` has ended. Errors: it is not what `saved` makes; then nothing has been taken from
    /// `kept`.
    static ipc::Result<std::unique_ptr<NodeMember>>
    restore(boost::asio::io_context& loop, Keeper& keeper, const nlohmann::json& saved,
            KeptFds& kept, std::shared_ptr<NodeHandles> handles, NodeOpener opener,
            NodeEvents events = {});
    /// A drain that is under way is not reported any more: who destroys it knows the end.
    ~NodeMember();
    NodeMember(const NodeMember&) = delete;
    NodeMember& operator=(const NodeMember&) = delete;

    [[nodiscard]] nlohmann::json saved() const;

    /// Asks the worker to take no more connections, to finish those it has and to disconnect;
    /// `on_done` is called once, when the channel is closed (it has finished, or its process has
    /// ended) or after `limit`. False when it cannot be asked: it has no server, or one that is
    /// just being opened (Node 18 and 24 would crash). Asked again it joins the drain under way:
    /// the worker is not told twice (it would hang up at once), each `on_done` is called, and the
    /// last `limit` counts. After `restore` it joins the drain that was under way then.
    [[nodiscard]] bool drain(std::chrono::milliseconds limit, std::function<void()> on_done);

    /// A message for the app's `process.on('message')`, one JSON value without a newline; goes out
    /// before the app is up too. False when there is nobody to hear it: the channel is closed, or
    /// the worker has long stopped reading.
    [[nodiscard]] bool send_message(std::string_view json_text);

    /// Gives the worker a TCP connection as if it had accepted it on `port` (0: on the first TCP
    /// server it has opened), so that this worker answers and no other. False when it has no such
    /// server, is draining, or binds by itself (bun). A worker that takes none is spared more than
    /// some: those are closed, as those are that it does not want.
    [[nodiscard]] bool offer_connection(ipc::UniqueFd connected, std::uint16_t port = 0);

    /// See NodeChannel.
    void measure_lag() { channel_.measure_lag(); }
    [[nodiscard]] std::optional<std::chrono::duration<double>> lag() const
    {
        return channel_.lag();
    }

    [[nodiscard]] bool listens() const { return listened_; }
    /// It accepts from sockets alone that get no connections any more: the app's workers of the
    /// next generation have others. Answers their inodes; empty: it is not so.
    [[nodiscard]] std::vector<std::uint64_t> retired_sockets() const;
    /// Where it serves, in the form of node_place, oldest first; once it drains, where it did.
    [[nodiscard]] std::vector<std::string> addresses() const;
    /// The ports of all its TCP servers up to now: connections outlive the server.
    [[nodiscard]] std::vector<std::uint16_t> tcp_ports() const;

    /// So many offered connections wait for the worker at most.
    static constexpr std::size_t kMaxOffers = 8;

private:
    struct Open {
        NodeAddress address;
        std::shared_ptr<NodeHandle> handle; ///< null: it has not been given back to us
        bool listening = false;
    };
    /// A server that accepts connections.
    struct Served {
        std::string key; ///< of its socket; "" when it binds by itself
        std::string place;
        std::uint16_t tcp_port = 0;
    };
    struct Past;
    static std::optional<Past> read(const nlohmann::json& saved);
    NodeMember(boost::asio::io_context& loop, Keeper& keeper, ipc::UniqueFd ours,
               std::shared_ptr<NodeHandles> handles, NodeOpener opener, NodeEvents events,
               Past past);
    std::shared_ptr<NodeHandle> find_again(const NodeAddress& address, std::uint64_t inode,
                                           const std::string& data);

    void changed() const;
    void say_disconnect();
    void say_disconnect_unless_said();
    void on_message(const NodeMessage& message);
    void on_query(const NodeQuery& query);
    void on_listening(const NodeListening& listening);
    void on_closed(const NodeClosed& closed);
    void remember(std::string key, const NodeAddress& address);
    [[nodiscard]] bool all_listen() const;
    void on_end();
    void on_drained();

    std::shared_ptr<NodeHandles> handles_; ///< null: it runs alone
    NodeOpener opener_;
    NodeEvents events_;
    std::map<std::string, Open> open_; ///< by key
    std::vector<Served> served_;
    std::set<std::uint16_t> tcp_ports_;
    std::vector<std::weak_ptr<const ipc::UniqueFd>> offers_; ///< expired: the worker has it
    bool listened_ = false;
    bool draining_ = false;
    bool said_ = false; ///< that it shall disconnect
    std::vector<std::function<void()>> on_drained_;
    boost::asio::steady_timer limit_, grace_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< a late timer looks at it
    Kept kept_;                                            ///< the channel
    NodeChannel channel_;
};

} // namespace cluster::supervisor
