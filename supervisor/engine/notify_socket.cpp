#include "supervisor/engine/notify_socket.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using Descriptor = boost::asio::posix::stream_descriptor;

/// systemd's limit (PIPE_BUF); a longer datagram is dropped, there as here.
constexpr std::size_t kMaxDatagramBytes = 4096;
/// In one turn of the loop; then comes a pause. Who floods us waits in its own send, or loses.
constexpr int kDatagramsPerTurn = 16;
constexpr std::chrono::milliseconds kBreath{10};

} // namespace

ipc::Result<std::unique_ptr<NotifySocket>> NotifySocket::open(boost::asio::io_context& loop,
                                                              uid_t worker, OnMessage on_message)
{
    auto endpoint = open_notify_endpoint();
    if (!endpoint) return std::unexpected(endpoint.error());
    return std::unique_ptr<NotifySocket>{
        new NotifySocket(loop, std::move(*endpoint), worker, std::move(on_message))};
}

NotifySocket::NotifySocket(boost::asio::io_context& loop, NotifyEndpoint endpoint, uid_t worker,
                           OnMessage on_message)
    : socket_{loop, endpoint.socket.release()}, pause_{loop}, address_{std::move(endpoint.address)},
      worker_{worker}, on_message_{std::move(on_message)}
{
    read_on();
}

void NotifySocket::read_on()
{
    socket_.async_wait(Descriptor::wait_read,
                       [this, alive = std::weak_ptr{alive_}](error_code cancelled) {
                           if (!cancelled && !alive.expired()) on_readable();
                       });
}

void NotifySocket::read_later()
{
    pause_.expires_after(kBreath);
    pause_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (!cancelled && !alive.expired()) read_on();
    });
}

void NotifySocket::on_readable()
{
    std::array<char, kMaxDatagramBytes> buffer;
    const std::weak_ptr alive{alive_};
    for (int count = 0; count < kDatagramsPerTurn; ++count) {
        const auto datagram = receive_datagram(socket_.native_handle(), buffer);
        if (!datagram && datagram.error().code == std::errc::resource_unavailable_try_again)
            return read_on();
        if (!datagram) break; // memory is short: it may be better after the pause
        if (datagram->cut || !may_speak(*datagram)) continue;
        const auto tell = on_message_; // ours may go while it runs
        tell(parse_notify_message({buffer.data(), datagram->size}));
        if (alive.expired()) return;
    }
    read_later();
}

bool NotifySocket::may_speak(const Datagram& datagram) const
{
    const auto sender = datagram.sender;
    return sender && (*sender == worker_ || *sender == 0 || *sender == ::geteuid());
}

} // namespace cluster::supervisor
