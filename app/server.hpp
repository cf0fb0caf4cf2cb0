// Accepts connections on all listening sockets, owns the sessions, and ends them in an orderly way.
//
//   serving ──drain()──▶ draining ──last session gone──▶ finished
//                            └──limit, or cut()──▶ finished, not clean
//
// One thread, one io_context. When the server has finished, nothing of it is left in the loop.
#pragma once

#include "app/listener.hpp"
#include "app/session.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <string>
#include <vector>

namespace cluster::app {

class Server {
public:
    /// `on_finished` is called once, from the loop, after `drain`. `service` must outlive the
    /// server.
    Server(asio::io_context& io, Service& service, std::vector<ListeningSocket> sockets,
           std::function<void()> on_finished);

    /// Begins to accept.
    void start();

    /// Stops accepting, answers what is in flight, lets idle connections go, and drops what is left
    /// after `service.limits.drain`. A second call changes nothing.
    void drain();

    /// Drops every connection now.
    void cut();

    /// Connections that were dropped instead of ended: 0 after a clean drain.
    [[nodiscard]] std::size_t dropped() const { return dropped_; }

private:
    struct Listener {
        asio::posix::stream_descriptor descriptor;
        asio::steady_timer pause; ///< runs while we are out of descriptors
        int family;
        std::string label;
        bool own;
    };
    using Sessions = std::list<Session>; ///< a list, because coroutines refer to its elements

    void accept_next(Listener& listener);
    void accept_after_pause(Listener& listener);
    void take(ipc::UniqueFd fd, int family);
    void ended(Sessions::iterator session, const std::exception_ptr& failure);
    void finish_if_idle();

    asio::io_context& io_;
    Service& service_;
    std::function<void()> on_finished_;
    std::list<Listener> listeners_;
    Sessions sessions_;
    asio::steady_timer drain_limit_;
    std::size_t dropped_ = 0;
};

} // namespace cluster::app
