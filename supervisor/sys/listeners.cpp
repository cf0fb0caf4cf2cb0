#include "supervisor/sys/listeners.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/sys/launcher.hpp"
#include "supervisor/sys/socket_holder.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <numeric>
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
    bool is_default = false; ///< a port alone: 0.0.0.0 will do where there is no IPv6

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
    if (port_alone) {
        Address any = ipv6(in6addr_any, *port, true);
        any.is_default = true;
        return any;
    }

    std::string host{text.substr(0, colon)};
    in_addr v4{};
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ipv4(v4, *port);
    if (!host.starts_with('[') || !host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
    in6_addr v6{};
    if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return ipv6(v6, *port, false);
    return std::nullopt;
}

bool set_flag(int fd, int level, int name, int value)
{
    return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// What is the same for the first and for every further socket of an address.
ipc::Result<ipc::UniqueFd> make_socket(const Address& address, const ipc::ListenAddress& wanted)
{
    ipc::UniqueFd fd{::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd) return ipc::fail(errno, "");
    if (address.family() == AF_UNIX) return fd;
    set_flag(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (wanted.nodelay) set_flag(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1); // connections inherit it
    if (address.family() == AF_INET6)
        set_flag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, address.dual_stack ? 0 : 1);
    if (wanted.reuse_port) set_flag(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    return fd;
}

/// Mode and owner of a unix socket: before listen, until then nobody can connect.
ipc::Result<void> set_rights(const ipc::ListenAddress& wanted, const char* path)
{
    if (!wanted.owner.empty()) {
        const auto colon = std::min(wanted.owner.find(':'), wanted.owner.size());
        const auto identity =
            look_up_identity(wanted.owner.substr(0, colon),
                             wanted.owner.substr(std::min(colon + 1, wanted.owner.size())));
        if (!identity) return std::unexpected(identity.error());
        if (*identity && ::lchown(path, (*identity)->uid, (*identity)->gid) < 0)
            return ipc::fail(errno, "");
    }
    if (wanted.mode && ::chmod(path, *wanted.mode) < 0) return ipc::fail(errno, "");
    return {};
}

/// Creates, binds and listens. The error's `what` is empty: the caller knows the words.
ipc::Result<ipc::UniqueFd> bind_and_listen(const Address& address, const ipc::ListenAddress& wanted)
{
    auto fd = make_socket(address, wanted);
    if (!fd) return fd;
    if (::bind(fd->get(), address.get(), address.size) < 0) return ipc::fail(errno, "");
    if (address.family() == AF_UNIX) {
        const auto& bound = reinterpret_cast<const sockaddr_un&>(address.storage);
        if (auto set = set_rights(wanted, bound.sun_path); !set)
            return std::unexpected(set.error());
    }
    if (address.family() != AF_UNIX && !wanted.reuse_port) prepare_to_share(fd->get());
    if (::listen(fd->get(), wanted.backlog.value_or(kBacklog)) < 0) return ipc::fail(errno, "");
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
    Address place = *address;
    if (wanted.ipv6_only) place.dual_stack = !*wanted.ipv6_only;
    auto result = bind_and_listen(place, wanted);
    if (!result && place.is_default && place.dual_stack && no_ipv6(result.error()))
        result = bind_and_listen(ipv4({INADDR_ANY}, place.port()), wanted);
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
    auto result = bind_and_listen(address, wanted);
    if (in_use(result) && is_stale(address, bound.sun_path)) {
        ::unlink(bound.sun_path);
        result = bind_and_listen(address, wanted);
    }
    const std::string holder = in_use(result) ? holder_of_path(system, path) : "";
    return explained(std::move(result), wanted.text, holder);
}

std::optional<Address> bound_address(int socket)
{
    Address address;
    address.size = sizeof address.storage;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size) < 0)
        return std::nullopt;
    int v6_only = 1;
    socklen_t size = sizeof v6_only;
    ::getsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size);
    address.dual_stack = address.family() == AF_INET6 && v6_only == 0;
    return address;
}

std::string path_of(const ipc::ListenAddress& address)
{
    return address.text.substr(std::strlen("unix:"));
}

std::string path_beside(const ipc::ListenAddress& address)
{
    return path_of(address) + "~";
}

ipc::Result<ipc::UniqueFd> join_unix(const ipc::ListenAddress& wanted)
{
    sockaddr_un bound{};
    bound.sun_family = AF_UNIX;
    const std::string fresh = path_beside(wanted);
    if (fresh.size() >= sizeof bound.sun_path)
        return ipc::fail(ENAMETOOLONG, "listen on " + wanted.text + " a second time");
    fresh.copy(bound.sun_path, fresh.size());
    ::unlink(fresh.c_str());
    return bind_and_listen(make_address(bound), wanted);
}

} // namespace

/// The program has to be there before it listens: later the kernel takes none from a socket that
/// was bound alone. The flag is on for this call only.
void prepare_to_share(int socket)
{
    if (!set_flag(socket, SOL_SOCKET, SO_REUSEPORT, 1)) return;
    (void)steer(socket, {0});
    set_flag(socket, SOL_SOCKET, SO_REUSEPORT, 0);
}

ipc::Result<ipc::UniqueFd> join_listener(const ipc::ListenAddress& wanted, int first)
{
    const auto address = bound_address(first);
    if (!address) return ipc::fail(errno, "listen on " + wanted.text);
    if (address->family() == AF_UNIX) return explained(join_unix(wanted), wanted.text, "");
    ipc::ListenAddress shared = wanted;
    shared.reuse_port = true;
    if (!set_flag(first, SOL_SOCKET, SO_REUSEPORT, 1))
        return ipc::fail(errno, "share " + wanted.text);
    return explained(bind_and_listen(*address, shared), wanted.text, "");
}

ipc::Result<void> take_path(const ipc::ListenAddress& address)
{
    const std::string fresh = path_beside(address);
    if (::rename(fresh.c_str(), path_of(address).c_str()) < 0)
        return ipc::fail(errno, "rename " + fresh);
    return {};
}

void drop_path(const ipc::ListenAddress& address)
{
    ::unlink(path_beside(address).c_str());
}

ipc::Result<void> steer(int member, const std::vector<std::size_t>& indices)
{
    // random % n, then a comparison for each but the last.
    std::vector<sock_filter> code;
    const auto count = static_cast<__u32>(indices.size());
    const auto add = [&](std::size_t op, __u32 value, __u8 skip_if_false = 0) {
        code.push_back({static_cast<__u16>(op), 0, skip_if_false, value});
    };
    if (count > 1) {
        add(BPF_LD | BPF_W | BPF_ABS, static_cast<__u32>(SKF_AD_OFF + SKF_AD_RANDOM));
        add(BPF_ALU | BPF_MOD | BPF_K, count);
        for (__u32 at = 0; at + 1 < count; ++at) {
            add(BPF_JMP | BPF_JEQ | BPF_K, at, 1);
            add(BPF_RET | BPF_K, static_cast<__u32>(indices[at]));
        }
    }
    add(BPF_RET | BPF_K, static_cast<__u32>(indices.back()));
    const sock_fprog program{.len = static_cast<unsigned short>(code.size()),
                             .filter = code.data()};
    if (::setsockopt(member, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0)
        return ipc::fail(errno, "choose who gets connections");
    return {};
}

std::vector<std::size_t> leave_group(const std::vector<GroupMember>& members)
{
    std::vector<std::size_t> order(members.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto live_places = [&] {
        std::vector<std::size_t> places;
        for (std::size_t at = 0; at < order.size(); ++at)
            if (members[order[at]].live && !members[order[at]].leaving) places.push_back(at);
        return places;
    };
    // Errors: there is no group yet, or what it was told last goes on.
    const auto choose = [&](const std::vector<std::size_t>& places) {
        if (!places.empty()) (void)steer(members[order[places.front()]].socket, places);
    };
    choose(live_places());
    for (std::size_t at = 0; at < order.size();) {
        if (!members[order[at]].leaving) {
            ++at;
            continue;
        }
        std::vector<std::size_t> live = live_places();
        const std::size_t last = order.size() - 1;
        // Of two, one is left, and any number means that one.
        if (order.size() > 2 && at != last && !live.empty() && live.back() == last) {
            live.pop_back();
            if (live.empty()) {
                ++at;
                continue;
            }
            choose(live);
        }
        shut_listener(members[order[at]].socket);
        order[at] = order.back();
        order.pop_back();
    }
    choose(live_places());
    return order;
}

bool accepts(int socket)
{
    int on = 0;
    socklen_t size = sizeof on;
    return ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on != 0;
}

void shut_listener(int socket)
{
    ::shutdown(socket, SHUT_RD);
}

std::uint16_t port_of(int socket)
{
    const auto address = bound_address(socket);
    return address && address->family() != AF_UNIX ? address->port() : std::uint16_t{0};
}

std::string address_of(int socket)
{
    const auto address = bound_address(socket);
    if (!address) return {};
    if (address->family() == AF_UNIX)
        return std::string{"unix:"} +
               reinterpret_cast<const sockaddr_un*>(address->get())->sun_path;
    char text[INET6_ADDRSTRLEN] = {};
    if (address->family() == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address->storage);
        ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        return fmt::format("{}:{}", text, address->port());
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address->storage);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, address->port());
}

ipc::Result<ipc::UniqueFd> open_listener(ipc::System& system, const ipc::ListenAddress& address)
{
    constexpr std::string_view kUnix = "unix:";
    if (address.text.starts_with(kUnix))
        return listen_unix(system, address, address.text.substr(kUnix.size()));
    return listen_inet(system, address);
}

} // namespace cluster::supervisor
