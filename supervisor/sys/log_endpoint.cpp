#include "supervisor/sys/log_endpoint.hpp"

#include "ipc/base/notify.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace cluster::supervisor {

ipc::Result<ipc::UniqueFd> dial_unix_datagram(const std::string& path)
{
    return ipc::connect_notify(path); // the same kind of socket
}

ipc::Result<ipc::UniqueFd> dial_udp(const std::string& host, std::uint16_t port)
{
    const std::string what = "send to " + host + " port " + std::to_string(port);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV; // no look-up that could wait
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
        return ipc::fail(EINVAL, what);
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned{found, &::freeaddrinfo};
    ipc::UniqueFd fd{::socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd || ::connect(fd.get(), found->ai_addr, found->ai_addrlen) < 0)
        return ipc::fail(errno, what);
    return fd;
}

ipc::Result<ipc::UniqueFd> open_stdout()
{
    // man 2 open: a socket in /proc/self/fd cannot be opened (ENXIO).
    ipc::UniqueFd fd{::open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC)};
    if (!fd && errno == ENXIO) fd = ipc::UniqueFd{::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)};
    if (!fd) return ipc::fail(errno, "open our standard output");
    return fd;
}

ipc::Result<std::size_t> send_some(int fd, std::string_view bytes)
{
    ssize_t sent = 0;
    do {
        sent = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == ENOTSOCK) sent = ::write(fd, bytes.data(), bytes.size());
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return ipc::fail(errno, "send");
    return static_cast<std::size_t>(sent);
}

} // namespace cluster::supervisor
