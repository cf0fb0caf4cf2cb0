// Accepts connections on all listening sockets, owns the sessions, and ends them in an orderly way.
//
//   serving ──drain()──▶ draining ──last session gone──▶ finished
//                            └──limit, or cut()──▶ finished, not clean
//
// One thread, one io_context. When the server has finished, nothing of it is left in the loop.
#pragma once

#include "app/http/listener.hpp"
#include "app/http/session.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <string>
#include <utility>
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

    /// `hook` is called once when the draining begins (from the loop; must not throw): whoever has
    /// taken connections over tells its clients to connect elsewhere.
    void on_drain(std::function<void()> hook) { hooks_.push_back(std::move(hook)); }

    /// Not ready from now on. After `service.limits.drain_delay` it stops accepting, answers what
    /// is in flight, lets idle connections go, and drops what is left `service.limits.drain` after
    /// the call. A second call changes nothing.
    void drain();

    /// Drops every connection now.
    void cut();

    /// Where it listens, for people: "127.0.0.1:3001", "unix:/run/x.sock (from the supervisor)".
    [[nodiscard]] std::vector<std::string> labels() const;

    [[nodiscard]] std::size_t connections() const { return sessions_.size(); }

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
    /// A list, because coroutines refer to its elements.
    using Sessions = std::list<Session>;

    void accept_next(Listener& listener);
    void accept_after_pause(Listener& listener);
    void take(ipc::UniqueFd fd, int family);
    void stop_accepting();
    void ended(Sessions::iterator session, bool refused, const std::exception_ptr& failure);
    void finish_if_idle();

    asio::io_context& io_;
    Service& service_;
    std::function<void()> on_finished_;
    std::vector<std::function<void()>> hooks_;
    std::list<Listener> listeners_;
    Sessions sessions_;
    std::size_t refused_ = 0; ///< of the sessions: those that are only told that we are full
    asio::steady_timer drain_delay_;
    asio::steady_timer drain_limit_;
    std::size_t dropped_ = 0;
};

} // namespace cluster::app
