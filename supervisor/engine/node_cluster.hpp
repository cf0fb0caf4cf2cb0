// The primary's part of Node's cluster mode: an app's workers run `listen` unmodified, and all get
// the same socket from us.
//
// NodeHandles belongs to an app and is shared by its rows, as long as one of them is not at rest:
// the sockets outlive each worker, so that nobody is refused while one is down. A NodeMember
// belongs to one process: its channel, and what it has open.
//
// A socket that no worker uses any more is closed some seconds later (the app has closed its
// server, or was restarted with another port), but only while all workers of the app are there and
// listen: one that is about to come back would ask for it again.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/engine/node_channel.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct App;
class NodeMember;

/// Whether the app's workers talk to us as Node's cluster workers: `exec_mode: cluster`, and an
/// interpreter that knows how.
[[nodiscard]] bool is_node_cluster(const ipc::AppSpec& spec);

/// The user and group of the workers, when they are not the daemon's.
using NodeOwner = std::optional<std::pair<uid_t, gid_t>>;

/// One socket of an app.
struct NodeHandle {
    NodeHandle(NodeAddress where, ipc::UniqueFd opened, std::string shared, NodeOwner whose);
    /// Removes the file of a unix socket, as libuv does.
    ~NodeHandle();
    NodeHandle(const NodeHandle&) = delete;
    NodeHandle& operator=(const NodeHandle&) = delete;

    NodeAddress address;
    ipc::UniqueFd socket;
    std::string data; ///< of the first worker that asked, for all (JSON)
    NodeOwner owner;
};

/// For whom a socket is opened.
struct NodeOpener {
    std::shared_ptr<const App> app; ///< its declared sockets answer `listen({fd: 3})`
    NodeOwner owner;                ///< whose rights to the file system count
};

class NodeHandles : public std::enable_shared_from_this<NodeHandles> {
public:
    NodeHandles(boost::asio::io_context& loop, ipc::System& system);

    /// The socket for a query: the one of the same address and index, else one of the same address
    /// that is not `in_use` by the asking worker (it has closed its server and listens again),
    /// else a new one. Errors: the errno for the worker.
    std::expected<std::shared_ptr<NodeHandle>, int>
    get(const NodeQuery& query, const NodeOpener& opener,
        const std::vector<std::shared_ptr<NodeHandle>>& in_use);

    void add_member(const NodeMember& member) { members_.insert(&member); }
    void remove_member(const NodeMember& member) { members_.erase(&member); }
    /// Starts the time after which unused sockets are closed.
    void tidy_later();

    /// An app that opens more gets EMFILE: our descriptors are everybody's.
    static constexpr std::size_t kMaxHandles = 256;

private:
    void tidy();
    std::expected<ipc::UniqueFd, int> open(const NodeAddress& address, const NodeOpener& opener);

    ipc::System& system_;
    boost::asio::steady_timer timer_;
    std::vector<std::shared_ptr<NodeHandle>> handles_;
    std::set<const NodeMember*> members_;
};

class NodeMember {
public:
    /// `ours` is our end of the worker's channel.
    NodeMember(boost::asio::io_context& loop, ipc::UniqueFd ours,
               std::shared_ptr<NodeHandles> handles, NodeOpener opener);
    ~NodeMember();
    NodeMember(const NodeMember&) = delete;
    NodeMember& operator=(const NodeMember&) = delete;

    /// Asks the worker to take no more connections, to finish those it has and to disconnect;
    /// `on_done` is called once when it has, or after `limit`. False when it cannot be asked: it
    /// has no server, or one that is just being opened (Node 18 and 24 would crash).
    [[nodiscard]] bool drain(std::chrono::milliseconds limit, std::function<void()> on_done);
    [[nodiscard]] bool listens() const { return listened_; }

private:
    struct Open {
        NodeAddress address;
        std::shared_ptr<NodeHandle> handle;
        bool listening = false;
    };

    void on_message(const NodeMessage& message);
    void on_query(const NodeQuery& query);
    void on_listening(const NodeListening& listening);
    void on_end();

    std::shared_ptr<NodeHandles> handles_;
    NodeOpener opener_;
    std::map<std::string, Open> open_; ///< by key
    bool listened_ = false;
    std::function<void()> on_drained_;
    boost::asio::steady_timer limit_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< a late timer looks at it
    NodeChannel channel_;
};

} // namespace cluster::supervisor
