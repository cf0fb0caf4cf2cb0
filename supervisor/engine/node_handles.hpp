// The sockets of one app in Node's cluster mode, shared by its workers. They outlive each worker,
// so that nobody is refused while one is down, and are there as long as a row of the app is not at
// rest.
//
// A socket that no worker uses any more is closed some seconds later (the app has closed its
// server, or was restarted with another port), but only while all workers of the app are there and
// listen: one that is about to come back would ask for it again.
//
// A reload brings a generation of workers in that has TCP sockets of its own: one SO_REUSEPORT
// group per address, whose connections go to the live generation alone
// (supervisor/sys/listeners.hpp).
//
// All of that outlives us: each socket is in the hands of the Keeper before a worker has it, and
// what is said about it is in `saved`. A declared socket (`listen({fd: 3})`) is its Listener's.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/core/node_protocol.hpp"
#include "supervisor/engine/listener.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json_fwd.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct App;
class NodeMember;

/// The user and group of the workers, when they are not the daemon's.
using NodeOwner = std::optional<std::pair<uid_t, gid_t>>;

struct NodeHandle;

/// The TCP sockets of one address, one for each generation that is there, in the kernel's order.
class NodeGroup {
public:
    /// `shared`: it has had a second one, so the kernel needs to be told who is live.
    explicit NodeGroup(bool shared = false) : shared_{shared} {}

    void add(NodeHandle& handle) { handles_.push_back(&handle); }
    /// Closes them, except one that has to stay for now (see leave_group). Returns those closed.
    std::vector<NodeHandle*> close(const std::function<bool(const NodeHandle&)>& which);
    void drop(NodeHandle& handle);
    /// Those of the generation are live from now on, if it has any, and no others are; `steer`
    /// makes it so.
    void set_live(unsigned generation);
    void steer();

    [[nodiscard]] const std::vector<NodeHandle*>& handles() const { return handles_; }
    [[nodiscard]] bool shared() const { return shared_; }

private:
    std::vector<NodeHandle*> handles_;
    bool shared_;
};

/// One socket of an app.
struct NodeHandle {
    /// `keeper` is null for a socket that somebody else keeps.
    NodeHandle(Keeper* keeper, NodeAddress where, ipc::UniqueFd opened, std::string shared,
               NodeOwner whose);
    /// Removes the file of a unix socket, as libuv does. A TCP socket leaves its group.
    ~NodeHandle();
    NodeHandle(const NodeHandle&) = delete;
    NodeHandle& operator=(const NodeHandle&) = delete;

    NodeAddress address;
    ipc::UniqueFd socket;
    Kept kept;
    std::string data; ///< of the first worker that asked, for all (JSON)
    NodeOwner owner;
    unsigned generation = 0;
    bool live = true;                 ///< gets new connections
    std::shared_ptr<NodeGroup> group; ///< null: no generation can have another one
};

/// For whom a socket is opened.
struct NodeOpener {
    std::shared_ptr<const App> app;
    ListenSockets sockets{}; ///< the worker's own; they answer `listen({fd: 3})`
    unsigned generation = 0; ///< of the worker: see NodeHandles::live_generation
    NodeOwner owner{};       ///< whose rights to the file system count
};

/// Which of the worker's sockets `listen({fd: 3})` means, from 0.
[[nodiscard]] std::size_t node_declared_number(const NodeAddress& address);

class NodeHandles : public std::enable_shared_from_this<NodeHandles> {
public:
    /// `on_change`: `saved` differs. Called before the change has an effect, never out of
    /// `restore`.
    NodeHandles(boost::asio::io_context& loop, ipc::System& system, Keeper& keeper,
                std::function<void()> on_change = {});
    /// As `saved` by a manager before us. A socket that `kept` has not got is left out: nobody
    /// holds it. Errors: it is not what `saved` makes; then nothing has been taken from `kept`.
    static ipc::Result<std::shared_ptr<NodeHandles>>
    restore(boost::asio::io_context& loop, ipc::System& system, Keeper& keeper,
            const nlohmann::json& saved, KeptFds& kept, std::function<void()> on_change = {});
    [[nodiscard]] nlohmann::json saved() const;

    /// The socket for a query: the one of the same address and index, else one of the same address
    /// that is not `in_use` by the asking worker (it has closed its server and listens again),
    /// else a new one. A declared socket is the worker's own, and not kept here: a reload may have
    /// given the others a later one. A new one is kept and told (`on_change`) when it is answered.
    /// Errors: the errno for the worker.
    std::expected<std::shared_ptr<NodeHandle>, int>
    get(const NodeQuery& query, const NodeOpener& opener,
        const std::vector<std::shared_ptr<NodeHandle>>& in_use);

    /// Those that clients connect to.
    [[nodiscard]] std::vector<int> stream_sockets() const;
    /// Null: there is none of this inode.
    [[nodiscard]] std::shared_ptr<NodeHandle> find(std::uint64_t inode) const;

    void add_member(const NodeMember& member) { members_.insert(&member); }
    /// The member has given its sockets back.
    void remove_member(const NodeMember& member);

    /// Workers of this generation get the connections. A reload starts its workers with the next
    /// one, which get TCP sockets beside those of the old ones, and none of the connections until
    /// `go_live`.
    [[nodiscard]] unsigned live_generation() const { return live_; }
    void go_live();
    /// Starts the time after which unused sockets are closed.
    void tidy_later();

    /// An app that opens more gets EMFILE: our descriptors are everybody's.
    static constexpr std::size_t kMaxHandles = 256;

private:
    void tidy();
    void drop_others();
    void drop_unused(const std::function<bool(const NodeHandle&)>& which);
    void changed() const;
    [[nodiscard]] std::shared_ptr<NodeHandle> of_older(const NodeAddress& address) const;
    std::expected<std::shared_ptr<NodeHandle>, int> get_declared(const NodeQuery& query,
                                                                 const NodeOpener& opener);
    std::expected<ipc::UniqueFd, int> open(const NodeAddress& address, const NodeOpener& opener);

    ipc::System& system_;
    Keeper& keeper_;
    std::function<void()> on_change_;
    boost::asio::steady_timer timer_;
    std::vector<std::shared_ptr<NodeHandle>> handles_;
    unsigned live_ = 0;
    std::vector<std::weak_ptr<const NodeHandle>> declared_; ///< of the workers, for their `data`
    std::set<const NodeMember*> members_;
};

} // namespace cluster::supervisor
