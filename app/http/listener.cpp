#include "app/http/listener.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

namespace cluster::app {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

std::string text_of(const tcp::endpoint& endpoint)
{
    const std::string host = endpoint.address().to_string();
    if (endpoint.address().is_v6()) return fmt::format("[{}]:{}", host, endpoint.port());
    return fmt::format("{}:{}", host, endpoint.port());
}

/// "host:port" of an internet address, "unix:path" of a local one.
std::string label_of(int fd)
{
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    auto* const address = reinterpret_cast<sockaddr*>(&storage);
    if (::getsockname(fd, address, &size) < 0) return "?";
    if (storage.ss_family == AF_UNIX) {
        const auto* const local = reinterpret_cast<const sockaddr_un*>(&storage);
        std::string_view path{local->sun_path, size - offsetof(sockaddr_un, sun_path)};
        if (path.starts_with('\0')) return fmt::format("unix:@{}", path.substr(1));
        return fmt::format("unix:{}", path.substr(0, path.find('\0')));
    }
    tcp::endpoint endpoint;
    if (size > endpoint.capacity()) return "?";
    std::memcpy(endpoint.data(), address, size);
    return text_of(endpoint);
}

Result<int> socket_option(int fd, int option, const std::string& what)
{
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0) return ipc::fail(errno, what);
    return value;
}

Result<ListeningSocket> take_over_one(const PassedSocket& passed)
{
    const std::string what = fmt::format("take over socket {} ({})", passed.fd, passed.name);
    const auto listening = socket_option(passed.fd, SO_ACCEPTCONN, what);
    if (!listening) return std::unexpected(listening.error());
    const auto type = socket_option(passed.fd, SO_TYPE, what);
    if (!type) return std::unexpected(type.error());
    const auto family = socket_option(passed.fd, SO_DOMAIN, what);
    if (!family) return std::unexpected(family.error());
    if (*listening == 0 || *type != SOCK_STREAM)
        return ipc::fail(std::error_code{}, what + ": it is not a listening stream socket");

    if (::fcntl(passed.fd, F_SETFD, FD_CLOEXEC) < 0) return ipc::fail(errno, what);
    // The flag belongs to all who share the socket. Without it a worker that comes second would
    // hang in accept until the next connection.
    const int flags = ::fcntl(passed.fd, F_GETFL);
    if (flags < 0 || ::fcntl(passed.fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return ipc::fail(errno, what);
    return ListeningSocket{
        .fd = ipc::UniqueFd{passed.fd}, .family = *family, .label = label_of(passed.fd)};
}

Result<ListeningSocket> bind_endpoint(const tcp::endpoint& endpoint)
{
    const bool v6 = endpoint.address().is_v6();
    const std::string what = "cannot listen on " + text_of(endpoint);
    ipc::UniqueFd fd{
        ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) return ipc::fail(errno, what);
    const int on = 1;
    const int off = 0;
    // A restart must not wait for the old connections' TIME_WAIT.
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return ipc::fail(errno, what);
    if (v6 && ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return ipc::fail(errno, what);
    if (::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) < 0 ||
        ::listen(fd.get(), SOMAXCONN) < 0)
        return ipc::fail(errno, what);
    std::string label = label_of(fd.get());
    return ListeningSocket{.fd = std::move(fd),
                           .family = endpoint.protocol().family(),
                           .label = std::move(label),
                           .own = true};
}

} // namespace

Result<std::vector<ListeningSocket>> take_over(const std::vector<PassedSocket>& passed)
{
    std::vector<ListeningSocket> sockets;
    for (const PassedSocket& one : passed) {
        auto socket = take_over_one(one);
        if (!socket) return std::unexpected(socket.error());
        sockets.push_back(std::move(*socket));
    }
    return sockets;
}

Result<ListeningSocket> bind_listener(const std::string& host, std::uint16_t port)
{
    if (host.empty()) {
        auto dual = bind_endpoint({tcp::v6(), port});
        // Without IPv6 in the kernel the one, with IPv6 switched off by sysctl the other.
        if (dual || (dual.error().code != std::errc::address_family_not_supported &&
                     dual.error().code != std::errc::address_not_available))
            return dual;
        return bind_endpoint({tcp::v4(), port});
    }
    boost::system::error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error)
        return ipc::fail(std::error_code{},
                         fmt::format("HOST must be an IPv4 or IPv6 address, got \"{}\"", host));
    return bind_endpoint({address, port});
}

Result<ipc::UniqueFd> accept_one(int listening_fd)
{
    const int fd = ::accept4(listening_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return ipc::fail(errno, "accept");
    return ipc::UniqueFd{fd};
}

} // namespace cluster::app
