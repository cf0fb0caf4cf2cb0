// The sockets of one declared address. Usually one, which all workers share and which outlives
// them. There are several while a reload brings a new generation of workers in, and always with
// `balance: "reuseport"`, where each worker has its own. New connections go to the live ones only.
//
// A socket that nobody has any more, and that is not the last one, is closed by `tidy`.
#pragma once

#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/sys/keeper.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace cluster::supervisor {

struct ListenSocket {
    ListenSocket(Keeper& keeper, ipc::UniqueFd opened, bool is_live)
        : fd{std::move(opened)}, kept{keeper, fd.get()}, live{is_live}
    {
    }
    ipc::UniqueFd fd;
    Kept kept;
    bool live = false; ///< gets new connections
};

class Listener {
public:
    /// `first` listens already, and is live.
    Listener(ipc::ListenAddress address, Keeper& keeper, ipc::UniqueFd first);
    /// As they were when a daemon before us had them, in the kernel's order; at least one.
    Listener(ipc::ListenAddress address, Keeper& keeper,
             std::vector<std::pair<ipc::UniqueFd, bool>> sockets_and_live);

    [[nodiscard]] const ipc::ListenAddress& address() const { return address_; }
    /// A port that the kernel chose is told; the path of a unix socket is as declared.
    [[nodiscard]] std::string bound_address() const;
    [[nodiscard]] bool is_unix() const { return address_.text.starts_with("unix:"); }

    /// The one that new workers of a shared address get: the last live one.
    [[nodiscard]] std::shared_ptr<ListenSocket> current() const;
    /// One that no worker has yet, else a new one: not live, unless it is the only one.
    ipc::Result<std::shared_ptr<ListenSocket>> own();
    /// A further one, not live.
    ipc::Result<std::shared_ptr<ListenSocket>> add();

    [[nodiscard]] bool has(const ListenSocket& socket) const;
    [[nodiscard]] const std::vector<std::shared_ptr<ListenSocket>>& sockets() const
    {
        return sockets_;
    }
    /// Errors: the kernel's, which then goes on as before.
    ipc::Result<void> set_live(ListenSocket& socket, bool live);
    /// From now on it is known as the only one that is live, and `steer` makes it so. False: it
    /// was.
    bool choose_only(ListenSocket& socket);
    /// Closes what nobody else holds, except the last one, and except one that would take the only
    /// live one's number along (see leave_group). True when that is to be written down.
    bool tidy();
    /// Tells the kernel once more who is live.
    ipc::Result<void> steer();

private:
    bool tidy_path();
    [[nodiscard]] bool other_live(const ListenSocket& socket) const;

    ipc::ListenAddress address_;
    Keeper& keeper_;
    std::vector<std::shared_ptr<ListenSocket>> sockets_; ///< in the kernel's order
};

/// What a worker accepts from: one for each address of its app, in that order.
using ListenSockets = std::vector<std::shared_ptr<ListenSocket>>;

} // namespace cluster::supervisor
