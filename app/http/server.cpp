#include "app/http/server.hpp"

#include <boost/asio/co_spawn.hpp>

#include <utility>

namespace cluster::app {
namespace {

/// While we have no descriptor left, another worker may take the connection.
constexpr milliseconds kPause{100};
/// So many at a time are told that we are full; the rest is closed without a word.
constexpr std::size_t kMaxRefused = 256;

bool is_shortage(const std::error_code& code)
{
    return code == std::errc::too_many_files_open ||
           code == std::errc::too_many_files_open_in_system || code == std::errc::no_buffer_space ||
           code == std::errc::not_enough_memory;
}

} // namespace

Server::Server(asio::io_context& io, Service& service, std::vector<ListeningSocket> sockets,
               std::function<void()> on_finished)
    : io_{io}, service_{service}, on_finished_{std::move(on_finished)}, drain_delay_{io},
      drain_limit_{io}
{
    for (ListeningSocket& socket : sockets)
        listeners_.push_back({.descriptor = asio::posix::stream_descriptor{io, socket.fd.release()},
                              .pause = asio::steady_timer{io},
                              .family = socket.family,
                              .label = std::move(socket.label),
                              .own = socket.own});
}

std::vector<std::string> Server::labels() const
{
    std::vector<std::string> labels;
    for (const Listener& listener : listeners_)
        labels.push_back(listener.label + (listener.own ? "" : " (from the supervisor)"));
    return labels;
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
    service_.log.error("out of descriptors or memory: no new connection for a moment",
                       {{"listener", listener.label}});
    listener.pause.expires_after(kPause);
    listener.pause.async_wait([this, &listener](const boost::system::error_code& code) {
        if (!code) accept_next(listener);
    });
}

void Server::take(ipc::UniqueFd fd, int family)
{
    const bool refused = sessions_.size() - refused_ >= service_.limits.connections;
    if (refused && refused_ >= kMaxRefused) return;
    if (refused) ++refused_;
    for (Observer* const observer : service_.observers)
        observer->connection_opened();
    const auto session = sessions_.emplace(sessions_.end(), io_, std::move(fd), family, service_);
    asio::co_spawn(io_, refused ? session->refuse() : session->serve(),
                   [this, session, refused](const std::exception_ptr& failure) {
                       ended(session, refused, failure);
                   });
}

void Server::ended(Sessions::iterator session, bool refused, const std::exception_ptr& failure)
{
    sessions_.erase(session);
    if (refused) --refused_;
    for (Observer* const observer : service_.observers)
        observer->connection_closed();
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        service_.log.error("a connection failed", {{"error", error.what()}});
    }
    finish_if_idle();
}

void Server::drain()
{
    if (!std::exchange(service_.ready, false)) return;
    drain_limit_.expires_after(service_.limits.drain);
    drain_limit_.async_wait([this](const boost::system::error_code& code) {
        if (!code) cut();
    });
    if (service_.limits.drain_delay <= milliseconds::zero()) return stop_accepting();
    drain_delay_.expires_after(service_.limits.drain_delay);
    drain_delay_.async_wait([this](const boost::system::error_code& code) {
        if (!code) stop_accepting();
    });
}

void Server::stop_accepting()
{
    if (std::exchange(service_.draining, true)) return;
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
    for (const auto& hook : hooks_)
        hook();
    finish_if_idle();
}

void Server::cut()
{
    drain_delay_.cancel();
    stop_accepting();
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
