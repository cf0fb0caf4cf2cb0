#include "supervisor/engine/notify_socket.hpp"

#include "supervisor/engine/node_saved.hpp"

#include <boost/asio/post.hpp>

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using nlohmann::json;
using Descriptor = boost::asio::posix::stream_descriptor;

/// systemd's limit (PIPE_BUF); a longer datagram is dropped, there as here.
constexpr std::size_t kMaxDatagramBytes = 4096;
/// In a row; then comes a pause. Who floods us waits in its own send, or loses.
constexpr int kDatagramsInARow = 16;
constexpr std::chrono::milliseconds kDatagramPause{10};

} // namespace

ipc::Result<std::unique_ptr<NotifySocket>> NotifySocket::open(boost::asio::io_context& loop,
                                                              Keeper& keeper, uid_t worker,
                                                              OnMessage on_message)
{
    auto endpoint = open_notify_endpoint();
    if (!endpoint) return std::unexpected(endpoint.error());
    return std::unique_ptr<NotifySocket>{
        new NotifySocket(loop, keeper, std::move(*endpoint), worker, std::move(on_message))};
}

ipc::Result<std::unique_ptr<NotifySocket>> NotifySocket::restore(boost::asio::io_context& loop,
                                                                 Keeper& keeper, const json& saved,
                                                                 KeptFds& kept,
                                                                 OnMessage on_message)
{
    SavedObject from{saved};
    const auto inode = from.number<std::uint64_t>("inode");
    const auto worker = from.number<uid_t>("uid");
    std::string address = from.text("address");
    if (!from.good() || address.empty()) return ipc::fail(EINVAL, "what is saved of NOTIFY_SOCKET");
    NotifyEndpoint endpoint{.socket = kept.take(inode), .address = address};
    if (!endpoint.socket) {
        auto again = open_notify_endpoint(std::move(address));
        if (!again) return std::unexpected(again.error());
        endpoint = std::move(*again);
    }
    return std::unique_ptr<NotifySocket>{
        new NotifySocket(loop, keeper, std::move(endpoint), worker, std::move(on_message))};
}

NotifySocket::NotifySocket(boost::asio::io_context& loop, Keeper& keeper, NotifyEndpoint endpoint,
                           uid_t worker, OnMessage on_message)
    : kept_{keeper, endpoint.socket.get()}, socket_{loop, endpoint.socket.release()}, pause_{loop},
      address_{std::move(endpoint.address)}, worker_{worker}, on_message_{std::move(on_message)}
{
    read_on();
}

json NotifySocket::saved() const
{
    return {{"inode", kept_.inode()}, {"address", address_}, {"uid", worker_}};
}

void NotifySocket::read_on()
{
    socket_.async_wait(Descriptor::wait_read,
                       [this, alive = std::weak_ptr{alive_}](error_code cancelled) {
                           if (!cancelled && !alive.expired()) look(kDatagramsInARow);
                       });
}

void NotifySocket::read_later()
{
    pause_.expires_after(kDatagramPause);
    pause_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (!cancelled && !alive.expired()) read_on();
    });
}

void NotifySocket::look(int still)
{
    if (still == 0) return read_later();
    std::array<char, kMaxDatagramBytes> buffer;
    const auto datagram = peek_datagram(socket_.native_handle(), buffer);
    if (!datagram && datagram.error().code == std::errc::resource_unavailable_try_again)
        return read_on();
    if (!datagram) return read_later(); // memory is short: it may be better after the pause
    const std::weak_ptr alive{alive_};
    if (!datagram->cut && may_speak(*datagram)) {
        const auto tell = on_message_; // ours may go while it runs
        tell(parse_notify_message({buffer.data(), datagram->size}));
    }
    // Behind everything that the callback has put off until after its turn.
    if (!alive.expired()) drop_later(still - 1);
}

void NotifySocket::drop_later(int still)
{
    boost::asio::post(socket_.get_executor(), [this, alive = std::weak_ptr{alive_}, still] {
        if (alive.expired()) return;
        drop_datagram(socket_.native_handle());
        look(still);
    });
}

bool NotifySocket::may_speak(const Datagram& datagram) const
{
    const auto sender = datagram.sender;
    return sender && (*sender == worker_ || *sender == 0 || *sender == ::geteuid());
}

} // namespace cluster::supervisor
