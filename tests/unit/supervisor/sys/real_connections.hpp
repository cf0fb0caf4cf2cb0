// TCP on loopback for tests: listeners, clients, and a process of our own to which a system call is
// forbidden, as it is in containers.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <doctest/doctest.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::tests {

/// The port in its own byte order; listens on 127.0.0.1, or ::1 for AF_INET6.
struct TcpListener {
    ipc::UniqueFd fd;
    std::uint16_t port = 0;

    explicit TcpListener(int family = AF_INET) : fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        REQUIRE(fd);
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_addr = in6addr_loopback;
        const bool old = family == AF_INET;
        auto* const address =
            old ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
        socklen_t size = old ? sizeof v4 : sizeof v6;
        REQUIRE(::bind(fd.get(), address, size) == 0);
        REQUIRE(::listen(fd.get(), 512) == 0);
        REQUIRE(::getsockname(fd.get(), address, &size) == 0);
        port = ntohs(old ? v4.sin_port : v6.sin6_port);
    }

    [[nodiscard]] ipc::UniqueFd accept() const
    {
        return ipc::UniqueFd{::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    }
};

inline ipc::UniqueFd connect_to(std::uint16_t port, int family = AF_INET)
{
    ipc::UniqueFd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(fd);
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v4.sin_port = htons(port);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    v6.sin6_port = htons(port);
    const bool old = family == AF_INET;
    const auto* const address =
        old ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
    REQUIRE(::connect(fd.get(), address, old ? sizeof v4 : sizeof v6) == 0);
    return fd;
}

inline std::uint64_t inode_of(const ipc::UniqueFd& fd)
{
    struct stat there{};
    REQUIRE(::fstat(fd.get(), &there) == 0);
    return there.st_ino;
}

inline void send_text(const ipc::UniqueFd& fd, std::string_view text)
{
    REQUIRE(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
}

/// What comes within ten seconds, at most 100 bytes; "end" for a FIN, "error" for a reset.
inline std::string receive(const ipc::UniqueFd& fd)
{
    pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 10'000) != 1) return "nothing";
    char bytes[100];
    const ssize_t size = ::recv(fd.get(), bytes, sizeof bytes, 0);
    if (size == 0) return "end";
    return size < 0 ? "error" : std::string{bytes, static_cast<std::size_t>(size)};
}

/// Whether there is nothing to read now, not even the end.
inline bool is_quiet(const ipc::UniqueFd& fd)
{
    pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, 0) == 0;
}

/// From now on the system call answers EPERM in this process: for a child of a test.
inline bool forbid(long call)
{
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = 4, .filter = code};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// A forked child that runs `body` and exits with what it returns; killed in the end.
class Child {
public:
    template <class Body>
    explicit Child(Body body) : pid_{::fork()}
    {
        REQUIRE(pid_ >= 0);
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(body());
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child()
    {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }

    /// The exit code, or 256 + the signal.
    int wait()
    {
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(std::exchange(pid_, 0)), &info, WEXITED);
        return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
    }

private:
    pid_t pid_;
};

} // namespace cluster::tests
