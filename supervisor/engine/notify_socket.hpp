// Listens to what one worker says about itself (man 3 sd_notify): readiness, a sign of life, a
// status. On the loop's thread.
#pragma once

#include "ipc/base/result.hpp"
#include "supervisor/core/notify_message.hpp"
#include "supervisor/sys/notify_endpoint.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

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
    static ipc::Result<std::unique_ptr<NotifySocket>> open(boost::asio::io_context& loop,
                                                           uid_t worker, OnMessage on_message);
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    /// For the worker's variable NOTIFY_SOCKET: "@…".
    [[nodiscard]] const std::string& address() const { return address_; }

private:
    NotifySocket(boost::asio::io_context& loop, NotifyEndpoint endpoint, uid_t worker,
                 OnMessage on_message);
    void read_on();
    void read_later();
    void on_readable();
    [[nodiscard]] bool may_speak(const Datagram& datagram) const;

    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    std::string address_;
    uid_t worker_;
    OnMessage on_message_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late completions look at it
};

} // namespace cluster::supervisor
