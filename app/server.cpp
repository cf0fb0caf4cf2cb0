#include "app/server.hpp"

#include <boost/asio/co_spawn.hpp>

#include <cstdio>
#include <utility>

namespace cluster::app {
namespace {

/// While we have no descriptor left, another worker may take the connection.
constexpr milliseconds kPause{100};

bool is_shortage(const std::error_code& code)
{
    return code == std::errc::too_many_files_open ||
           code == std::errc::too_many_files_open_in_system || code == std::errc::no_buffer_space ||
           code == std::errc::not_enough_memory;
}

} // namespace

Server::Server(asio::io_context& io, Service& service, std::vector<ListeningSocket> sockets,
               std::function<void()> on_finished)
    : io_{io}, service_{service}, on_finished_{std::move(on_finished)}, drain_limit_{io}
{
    for (ListeningSocket& socket : sockets)
        listeners_.push_back({.descriptor = asio::posix::stream_descriptor{io, socket.fd.release()},
                              .pause = asio::steady_timer{io},
                              .family = socket.family,
                              .label = std::move(socket.label),
                              .own = socket.own});
}

void Server::start()
{
    for (Listener& listener : listeners_)
        accept_next(listener);
}

void Server::accept_next(Listener& listener)
{
    using boost::system::error_code;
    listener.descriptor.async_wait(
        asio::posix::stream_descriptor::wait_read, [this, &listener](const error_code& code) {
            if (code || service_.draining) return; // drain() has ended this
            // One connection per turn: taking all that wait would leave the other workers idle.
            auto fd = accept_one(listener.descriptor.native_handle());
            if (fd) take(std::move(*fd), listener.family);
            if (!fd && is_shortage(fd.error().code)) return accept_after_pause(listener);
            accept_next(listener); // the others: the client has gone, or another worker was quicker
        });
}

void Server::accept_after_pause(Listener& listener)
{
    std::fprintf(stderr, "out of descriptors or memory: no new connection on %s for a moment\n",
                 listener.label.c_str());
    listener.pause.expires_after(kPause);
    listener.pause.async_wait([this, &listener](const boost::system::error_code& code) {
        if (!code) accept_next(listener);
    });
}

void Server::take(ipc::UniqueFd fd, int family)
{
    const auto session = sessions_.emplace(sessions_.end(), io_, std::move(fd), family, service_);
    asio::co_spawn(io_, session->serve(),
                   [this, session](const std::exception_ptr& failure) { ended(session, failure); });
}

void Server::ended(Sessions::iterator session, const std::exception_ptr& failure)
{
    sessions_.erase(session);
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "a connection failed: %s\n", error.what());
    }
    finish_if_idle();
}

void Server::drain()
{
    if (service_.draining) return;
    service_.draining = true;
    for (Listener& listener : listeners_) {
        // What waits in the queue of a shared socket is for the other workers; with our own it
        // would be reset.
        while (listener.own) {
            auto fd = accept_one(listener.descriptor.native_handle());
            if (!fd) break;
            take(std::move(*fd), listener.family);
        }
        boost::system::error_code ignored;
        listener.descriptor.close(ignored);
        listener.pause.cancel();
    }
    for (Session& session : sessions_)
        session.wake();

    drain_limit_.expires_after(service_.limits.drain);
    drain_limit_.async_wait([this](const boost::system::error_code& code) {
        if (!code) cut();
    });
    finish_if_idle();
}

void Server::cut()
{
    dropped_ += sessions_.size();
    for (Session& session : sessions_)
        session.cut();
}

void Server::finish_if_idle()
{
    if (!service_.draining || !sessions_.empty()) return;
    drain_limit_.cancel();
    if (auto finished = std::exchange(on_finished_, nullptr)) finished();
}

} // namespace cluster::app
