#include "supervisor/sys/dial.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace cluster::supervisor {
namespace {

constexpr int kFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;
/// A handshake over loopback is done before connect returns; only a kernel that has put it off
/// (softirqs under load) needs this.
constexpr int kHandshakeMs = 100;
/// Strangers in a row who found the port of a socket that lives for microseconds.
constexpr int kMostStrangers = 16;

ipc::Result<ipc::UniqueFd> dial(const sockaddr* address, socklen_t size, const std::string& what)
{
    ipc::UniqueFd fd{::socket(address->sa_family, SOCK_STREAM | kFlags, 0)};
    if (!fd) return ipc::fail(errno, what);
    // Interrupted means that it goes on by itself (man 2 connect).
    if (::connect(fd.get(), address, size) < 0 && errno != EINPROGRESS && errno != EINTR)
        return ipc::fail(errno, what);
    return fd;
}

/// "[::1]" → "::1".
std::string without_brackets(const std::string& host)
{
    return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

struct Peer {
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_storage);

    bool operator==(const Peer& other) const
    {
        return size == other.size && std::memcmp(&address, &other.address, size) == 0;
    }
};

/// `ask` is getsockname or getpeername.
ipc::Result<Peer> name_of(int socket, decltype(&::getsockname) ask)
{
    Peer peer;
    if (ask(socket, reinterpret_cast<sockaddr*>(&peer.address), &peer.size) < 0)
        return ipc::fail(errno, "name of socket");
    return peer;
}

ipc::Result<ipc::UniqueFd> listen_on_loopback()
{
    ipc::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | kFlags, 0)};
    if (!fd) return ipc::fail(errno, "socket");
    sockaddr_in any_port{};
    any_port.sin_family = AF_INET;
    any_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any_port), sizeof any_port) < 0)
        return ipc::fail(errno, "bind to 127.0.0.1");
    if (::listen(fd.get(), 2 * kMostStrangers) < 0) return ipc::fail(errno, "listen on 127.0.0.1");
    return fd;
}

ipc::Result<ipc::UniqueFd> accept_from(int listener, const Peer& wanted)
{
    for (int strangers = 0; strangers < kMostStrangers; ++strangers) {
        pollfd ready{.fd = listener, .events = POLLIN, .revents = 0};
        if (::poll(&ready, 1, kHandshakeMs) == 0) return ipc::fail(ETIMEDOUT, "accept");
        ipc::UniqueFd fd{::accept4(listener, nullptr, nullptr, kFlags)};
        if (!fd && (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)) continue;
        if (!fd) return ipc::fail(errno, "accept");
        if (const auto peer = name_of(fd.get(), &::getpeername); peer && *peer == wanted) return fd;
    }
    return ipc::fail(ECONNABORTED, "accept");
}

} // namespace

ipc::Result<ipc::UniqueFd> dial_tcp(const std::string& host, std::uint16_t port)
{
    const std::string bare = without_brackets(host);
    const bool ipv6 = bare.contains(':');
    const std::string what =
        "connect to " + (ipv6 ? "[" + bare + "]" : bare) + ":" + std::to_string(port);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV; // no look-up that could wait
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(bare.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
        return ipc::fail(EINVAL, what);
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned{found, &::freeaddrinfo};
    return dial(found->ai_addr, found->ai_addrlen, what);
}

ipc::Result<ipc::UniqueFd> dial_unix(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return ipc::fail(ENAMETOOLONG, "connect to " + path);
    path.copy(address.sun_path, path.size());
    return dial(reinterpret_cast<const sockaddr*>(&address), sizeof address, "connect to " + path);
}

ipc::Result<void> connect_result(int socket)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    if (error != 0) return ipc::fail(error, "connect");
    const auto own = name_of(socket, &::getsockname);
    const auto peer = name_of(socket, &::getpeername);
    if (!peer) return ipc::fail(peer.error().code, "connect");
    // Clients of unix sockets have no name of their own.
    if (own && *own == *peer && own->size > sizeof(sa_family_t))
        return ipc::fail(ECONNREFUSED, "connect");
    return {};
}

ipc::Result<LoopbackPair> loopback_pair()
{
    const auto listener = listen_on_loopback();
    if (!listener) return std::unexpected(listener.error());
    const auto place = name_of(listener->get(), &::getsockname);
    if (!place) return std::unexpected(place.error());
    auto ours = dial(reinterpret_cast<const sockaddr*>(&place->address), place->size,
                     "connect to 127.0.0.1");
    if (!ours) return std::unexpected(ours.error());
    const auto name = name_of(ours->get(), &::getsockname);
    if (!name) return std::unexpected(name.error());
    auto theirs = accept_from(listener->get(), *name);
    if (!theirs) return std::unexpected(theirs.error());
    return LoopbackPair{.ours = std::move(*ours), .theirs = std::move(*theirs)};
}

} // namespace cluster::supervisor
