#include "supervisor/sys/listeners.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/socket_holder.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace cluster::supervisor {
namespace {

/// The kernel cuts it to net.core.somaxconn, so this means "as much as the system allows".
constexpr int kBacklog = 4096;

/// A socket address of any family.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    bool dual_stack = false; ///< an IPv6 wildcard that takes IPv4 as well

    [[nodiscard]] int family() const { return storage.ss_family; }
    /// Of an internet address; it stands at the same place in IPv4 and IPv6.
    [[nodiscard]] std::uint16_t port() const
    {
        return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    }
    [[nodiscard]] const sockaddr* get() const
    {
        return reinterpret_cast<const sockaddr*>(&storage); // what the socket calls want
    }
};

template <class Family>
Address make_address(const Family& address, bool dual_stack = false)
{
    Address made;
    static_assert(sizeof address <= sizeof made.storage);
    std::memcpy(&made.storage, &address, sizeof address);
    made.size = sizeof address;
    made.dual_stack = dual_stack;
    return made;
}

Address ipv4(in_addr host, std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr = host;
    return make_address(address);
}

Address ipv6(const in6_addr& host, std::uint16_t port, bool dual_stack)
{
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = host;
    return make_address(address, dual_stack);
}

/// "127.0.0.1:3001", "[::1]:3001" or "3001".
std::optional<Address> parse_inet(std::string_view text)
{
    const std::size_t colon = text.rfind(':');
    const bool port_alone = colon == std::string_view::npos;
    const auto port = ipc::parse_number<std::uint16_t>(port_alone ? text : text.substr(colon + 1));
    if (!port) return std::nullopt;
    if (port_alone) return ipv6(in6addr_any, *port, true);

    std::string host{text.substr(0, colon)};
    in_addr v4{};
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ipv4(v4, *port);
    if (!host.starts_with('[') || !host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
    in6_addr v6{};
    if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return ipv6(v6, *port, false);
    return std::nullopt;
}

/// Creates, binds and listens. The error's `what` is empty: the caller knows the words.
ipc::Result<ipc::UniqueFd> bind_and_listen(const Address& address, int backlog,
                                           std::optional<unsigned> mode = std::nullopt)
{
    ipc::UniqueFd fd{::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd) return ipc::fail(errno, "");
    const int on = 1;
    const int v6_only = address.dual_stack ? 0 : 1;
    if (address.family() != AF_UNIX)
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.family() == AF_INET6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (::bind(fd.get(), address.get(), address.size) < 0) return ipc::fail(errno, "");
    if (mode) { // before listen: until then nobody can connect
        const auto& bound = reinterpret_cast<const sockaddr_un&>(address.storage);
        if (::chmod(bound.sun_path, *mode) < 0) return ipc::fail(errno, "");
    }
    if (::listen(fd.get(), backlog) < 0) return ipc::fail(errno, "");
    return fd;
}

bool no_ipv6(const ipc::Error& error)
{
    return error.code.value() == EAFNOSUPPORT || error.code.value() == EADDRNOTAVAIL;
}

/// Adds the words to a bare error: "listen on 3001 (held by node, pid 4242)".
ipc::Result<ipc::UniqueFd> explained(ipc::Result<ipc::UniqueFd> result, const std::string& text,
                                     const std::string& holder)
{
    if (!result) {
        result.error().what = "listen on " + text;
        if (!holder.empty()) result.error().what += " (held by " + holder + ")";
    }
    return result;
}

bool in_use(const ipc::Result<ipc::UniqueFd>& result)
{
    return !result && result.error().code.value() == EADDRINUSE;
}

ipc::Result<ipc::UniqueFd> listen_inet(ipc::System& system, const ipc::ListenAddress& wanted)
{
    const auto address = parse_inet(wanted.text);
    if (!address)
        return ipc::fail(std::error_code{},
                         "listen address must be a port, ADDRESS:PORT, [ADDRESS]:PORT or "
                         "unix:PATH, got " +
                             wanted.text);
    const int backlog = wanted.backlog.value_or(kBacklog);
    auto result = bind_and_listen(*address, backlog);
    if (!result && address->dual_stack && no_ipv6(result.error()))
        result = bind_and_listen(ipv4({INADDR_ANY}, address->port()), backlog);
    const std::string holder = in_use(result) ? holder_of_port(system, address->port()) : "";
    return explained(std::move(result), wanted.text, holder);
}

/// A socket file that nobody listens on any more: left behind by a process that was killed.
bool is_stale(const Address& address, const char* path)
{
    struct stat there{};
    // Connecting to an ordinary file is refused just the same, and that one is not ours to remove.
    if (::lstat(path, &there) < 0 || !S_ISSOCK(there.st_mode)) return false;
    const ipc::UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    return ::connect(probe.get(), address.get(), address.size) < 0 && errno == ECONNREFUSED;
}

ipc::Result<ipc::UniqueFd> listen_unix(ipc::System& system, const ipc::ListenAddress& wanted,
                                       const std::string& path)
{
    sockaddr_un bound{};
    bound.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof bound.sun_path)
        return ipc::fail(std::error_code{}, "listen address " + wanted.text + " must have 1 to " +
                                                std::to_string(sizeof bound.sun_path - 1) +
                                                " bytes of path, got " +
                                                std::to_string(path.size()));
    path.copy(bound.sun_path, path.size());
    const Address address = make_address(bound);
    const int backlog = wanted.backlog.value_or(kBacklog);
    auto result = bind_and_listen(address, backlog, wanted.mode);
    if (in_use(result) && is_stale(address, bound.sun_path)) {
        ::unlink(bound.sun_path);
        result = bind_and_listen(address, backlog, wanted.mode);
    }
    const std::string holder = in_use(result) ? holder_of_path(system, path) : "";
    return explained(std::move(result), wanted.text, holder);
}

} // namespace

ipc::Result<ipc::UniqueFd> open_listener(ipc::System& system, const ipc::ListenAddress& address)
{
    constexpr std::string_view kUnix = "unix:";
    if (address.text.starts_with(kUnix))
        return listen_unix(system, address, address.text.substr(kUnix.size()));
    return listen_inet(system, address);
}

} // namespace cluster::supervisor
