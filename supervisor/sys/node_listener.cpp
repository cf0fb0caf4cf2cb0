#include "supervisor/sys/node_listener.hpp"

#include "supervisor/sys/listeners.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

namespace cluster::supervisor {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// getaddrinfo rather than inet_pton: it knows scopes ("fe80::1%eth0").
AddressList parse(const BindPlace& place, const std::string& host)
{
    addrinfo hints{};
    hints.ai_family = place.ipv6 ? AF_INET6 : AF_INET;
    hints.ai_socktype = place.datagram ? SOCK_DGRAM : SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(place.port);
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) found = nullptr;
    return {found, &::freeaddrinfo};
}

ipc::Result<ipc::UniqueFd> bind_one(const BindPlace& place, const std::string& host)
{
    const AddressList address = parse(place, host);
    if (!address) return ipc::fail(EINVAL, "bind " + host);
    ipc::UniqueFd fd{
        ::socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) return ipc::fail(errno, "socket");
    const int on = 1;
    const int v6_only = place.ipv6_only ? 1 : 0;
    if (place.reuse_address) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (place.ipv6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (::bind(fd.get(), address->ai_addr, address->ai_addrlen) < 0)
        return ipc::fail(errno, "bind " + host);
    if (!place.datagram) prepare_to_share(fd.get());
    return fd;
}

/// Files are reached with these ids while it lives, and root's power over permissions is off
/// (man 2 setfsuid). Ids of the file system belong to the thread, so nobody else sees it.
class FileIdentity {
public:
    explicit FileIdentity(std::optional<std::pair<uid_t, gid_t>> owner)
        : changed_{owner.has_value()}
    {
        if (!owner) return;
        gid_ = ::setfsgid(owner->second);
        uid_ = ::setfsuid(owner->first);
    }
    ~FileIdentity()
    {
        if (!changed_) return;
        ::setfsuid(static_cast<uid_t>(uid_));
        ::setfsgid(static_cast<gid_t>(gid_));
    }
    FileIdentity(const FileIdentity&) = delete;
    FileIdentity& operator=(const FileIdentity&) = delete;

private:
    bool changed_;
    int uid_ = 0;
    int gid_ = 0;
};

} // namespace

ipc::Result<ipc::UniqueFd> bind_socket(const BindPlace& place)
{
    if (!place.host.empty()) return bind_one(place, place.host);
    BindPlace dual = place;
    dual.ipv6 = true;
    auto both = bind_one(dual, "::");
    const int error = both ? 0 : both.error().code.value();
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL && error != EINVAL) return both;
    dual.ipv6 = false; // a machine without IPv6
    return bind_one(dual, "0.0.0.0");
}

ipc::Result<ipc::UniqueFd> join_socket(int first)
{
    const std::string address = address_of(first);
    auto joined = join_listener({.text = address, .name = address}, first);
    return joined ? share_socket(joined->get()) : std::move(joined);
}

ipc::Result<ipc::UniqueFd> bind_path(ipc::System& system, const std::string& path,
                                     std::optional<std::pair<uid_t, gid_t>> owner)
{
    if (path.contains('\0')) return ipc::fail(EINVAL, "listen on an abstract name");
    const FileIdentity as_owner{owner};
    const std::string text = "unix:" + path;
    auto opened = open_listener(system, {.text = text, .name = text});
    // It has no errno when the path is too long; Node's own answer is this one.
    if (!opened && !opened.error().code) return ipc::fail(EINVAL, opened.error().what);
    if (!opened) return opened;
    return share_socket(opened->get());
}

void remove_path(const std::string& path, std::optional<std::pair<uid_t, gid_t>> owner)
{
    const FileIdentity as_owner{owner};
    ::unlink(path.c_str());
}

ipc::Result<ipc::UniqueFd> share_socket(int socket)
{
    ipc::UniqueFd shared{::fcntl(socket, F_DUPFD_CLOEXEC, 0)};
    if (!shared) return ipc::fail(errno, "dup");
    const int flags = ::fcntl(shared.get(), F_GETFL);
    if (flags < 0 || ::fcntl(shared.get(), F_SETFL, flags | O_NONBLOCK) < 0)
        return ipc::fail(errno, "fcntl");
    return shared;
}

} // namespace cluster::supervisor
