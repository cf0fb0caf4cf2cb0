// Listens to what one worker says about itself (man 3 sd_notify): readiness, a sign of life, a
// status. On the loop's thread.
//
// The socket outlives us, and a message stays in it until everything that follows from it is done
// or written down: who comes after us hears what we did not get to, and now and then what we did.
#pragma once

#include "ipc/base/result.hpp"
#include "supervisor/core/notify_message.hpp"
#include "supervisor/sys/keeper.hpp"
#include "supervisor/sys/notify_endpoint.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json_fwd.hpp>

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

namespace cluster::supervisor {

class NotifySocket {
public:
    /// It may destroy the NotifySocket.
    using OnMessage = std::function<void(const NotifyMessage&)>;

    /// Messages of the user `worker`, of root and of our own user are taken, those of others are
    /// not: anybody may send to an abstract name.
    static ipc::Result<std::unique_ptr<NotifySocket>>
    open(boost::asio::io_context& loop, Keeper& keeper, uid_t worker, OnMessage on_message);
    /// As `saved` by a manager before us. Where `kept` has not got the socket, another one is bound
    /// to the name that the worker knows. Errors: the kernel's; EINVAL when it is not what `saved`
    /// makes.
    static ipc::Result<std::unique_ptr<NotifySocket>> restore(boost::asio::io_context& loop,
                                                              Keeper& keeper,
                                                              const nlohmann::json& saved,
                                                              KeptFds& kept, OnMessage on_message);
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    /// For the worker's variable NOTIFY_SOCKET: "@…".
    [[nodiscard]] const std::string& address() const { return address_; }
    [[nodiscard]] nlohmann::json saved() const;

private:
    NotifySocket(boost::asio::io_context& loop, Keeper& keeper, NotifyEndpoint endpoint,
                 uid_t worker, OnMessage on_message);
    void read_on();
    void read_later();
    void look(int still);
    void drop_later(int still);
    [[nodiscard]] bool may_speak(const Datagram& datagram) const;

    Kept kept_;
    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    std::string address_;
    uid_t worker_;
    OnMessage on_message_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late completions look at it
};

} // namespace cluster::supervisor
