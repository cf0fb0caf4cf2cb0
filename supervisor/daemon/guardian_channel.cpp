#include "supervisor/daemon/guardian_channel.hpp"

#include "supervisor/sys/fd_passing.hpp"

#include <chrono>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using Wait = boost::asio::posix::stream_descriptor;

constexpr std::chrono::milliseconds kPause{2}; ///< for the manager to read some descriptors

} // namespace

GuardianChannel::GuardianChannel(boost::asio::io_context& loop, Log& log, OnMessage on_message)
    : socket_{loop}, pause_{loop}, log_{log}, on_message_{std::move(on_message)}
{
}

ipc::Result<void> GuardianChannel::start(ipc::UniqueFd& socket)
{
    error_code refused;
    socket_.assign(socket.get(), refused);
    if (refused) return ipc::fail(refused, "listen to the manager");
    (void)socket.release(); // the descriptor owns it now
    wait_readable();
    return {};
}

void GuardianChannel::wait_readable()
{
    socket_.async_wait(Wait::wait_read, [self = shared_from_this()](error_code cancelled) {
        if (cancelled) return;
        self->read_all();
        if (!self->ended_) self->wait_readable();
    });
}

void GuardianChannel::read_all()
{
    while (socket_.is_open()) {
        auto received = receive_message(socket_.native_handle());
        if (!received && received.error().code == std::errc::resource_unavailable_try_again) return;
        ended_ = !received || received->bytes.empty();
        if (ended_) return; // its death comes as SIGCHLD
        if (received->fds_lost)
            log_.error("limit of open files reached: a descriptor of the manager is not kept");
        if (const auto message = decode(received->bytes))
            on_message_(*message, std::move(received->fds));
    }
}

void GuardianChannel::send(std::string bytes, std::vector<int> fds)
{
    queue_.push_back({.bytes = std::move(bytes), .fds = std::move(fds)});
    if (!waiting_for_room_) send_queued();
}

void GuardianChannel::send_queued()
{
    while (!queue_.empty() && socket_.is_open()) {
        const Item& item = queue_.front();
        if (auto sent = send_message(socket_.native_handle(), item.bytes, item.fds); !sent) {
            const int why = sent.error().code.value();
            if (why == EAGAIN || why == ETOOMANYREFS) return wait_for_room(why == ETOOMANYREFS);
            return queue_.clear();
        }
        queue_.pop_front();
    }
}

void GuardianChannel::wait_for_room(bool too_many_fds)
{
    waiting_for_room_ = true;
    const auto go_on = [self = shared_from_this()](error_code cancelled) {
        self->waiting_for_room_ = false;
        if (!cancelled) self->send_queued();
    };
    if (!too_many_fds) return socket_.async_wait(Wait::wait_write, go_on);
    pause_.expires_after(kPause);
    pause_.async_wait(go_on);
}

void GuardianChannel::close()
{
    error_code ignored;
    socket_.close(ignored);
    pause_.cancel();
}

} // namespace cluster::supervisor
