// The guardian's end of its channel to a manager: sends in order and never waits for that one.
// Closed by the guardian when the manager has died; its own pending operations keep it alive a
// little longer.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "supervisor/daemon/guardian_messages.hpp"
#include "supervisor/engine/log.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cluster::supervisor {

class GuardianChannel : public std::enable_shared_from_this<GuardianChannel> {
public:
    using OnMessage = std::function<void(const Message&, std::vector<ipc::UniqueFd> fds)>;

    GuardianChannel(boost::asio::io_context& loop, Log& log, OnMessage on_message);

    /// Takes `socket` and listens to it. Errors: those of man 2 epoll_ctl; it is still yours then.
    ipc::Result<void> start(ipc::UniqueFd& socket);
    /// `fds` stay open until they are sent; what cannot be sent to a dead manager is forgotten.
    void send(std::string bytes, std::vector<int> fds = {});
    /// Hears all that the manager has said so far.
    void read_all();
    [[nodiscard]] int fd() { return socket_.native_handle(); }
    /// Nothing is heard or said any more.
    void close();

private:
    struct Item {
        std::string bytes;
        std::vector<int> fds;
    };
    void wait_readable();
    void send_queued();
    void wait_for_room(bool too_many_fds);

    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    Log& log_;
    OnMessage on_message_;
    std::deque<Item> queue_;
    bool waiting_for_room_ = false;
    bool ended_ = false; ///< the manager is gone
};

} // namespace cluster::supervisor
