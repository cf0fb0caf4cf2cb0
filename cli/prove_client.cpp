#include "cli/prove_client.hpp"

#include "ipc/base/result.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

using std::chrono::milliseconds;

/// False when the deadline passed.
bool wait_for(int fd, short events, ProveClient::Time deadline)
{
    pollfd waited{.fd = fd, .events = events, .revents = 0};
    while (true) {
        const auto left =
            std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        const int ready = ::poll(&waited, 1, static_cast<int>(std::max(left.count(), 0L)));
        if (ready >= 0 || errno != EINTR) return ready != 0;
    }
}

Attempt lost(Loss loss, std::string fault)
{
    return {.loss = loss, .fault = std::move(fault)};
}

Attempt not_sent(int error)
{
    return {.not_sent = true, .fault = ipc::errno_text(error)};
}

bool is_ours(int error)
{
    return error == EADDRNOTAVAIL || error == EMFILE || error == ENFILE || error == ENOBUFS ||
           error == ENOMEM;
}

} // namespace

Attempt ProveClient::ask()
{
    const Time deadline = std::chrono::steady_clock::now() + limit_;
    if (socket_ && is_stale()) socket_.reset();
    const bool reused = static_cast<bool>(socket_);
    Attempt attempt = exchange(deadline);
    if (reused && attempt.loss == Loss::reset) {
        attempt = exchange(deadline);
        attempt.raced = true;
    }
    return attempt;
}

bool ProveClient::is_stale() const
{
    char byte = 0;
    const ssize_t size = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size >= 0 || errno != EAGAIN;
}

Attempt ProveClient::connect(Time deadline)
{
    // A unix socket whose queue is full refuses those that will not wait: there, connect waits.
    const bool local = address_.address.ss_family == AF_UNIX;
    ipc::UniqueFd made{::socket(address_.address.ss_family,
                                SOCK_STREAM | SOCK_CLOEXEC | (local ? 0 : SOCK_NONBLOCK), 0)};
    if (!made) return not_sent(errno);
    const timeval limit{.tv_sec = std::chrono::ceil<std::chrono::seconds>(limit_).count(),
                        .tv_usec = 0};
    if (local) ::setsockopt(made.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int error = 0;
    if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&address_.address), address_.size) <
        0)
        error = errno;
    if (error == EINPROGRESS) {
        if (!wait_for(made.get(), POLLOUT, deadline))
            return lost(Loss::timed_out, "no connection in time");
        socklen_t size = sizeof error;
        ::getsockopt(made.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (is_ours(error)) return not_sent(error);
    if (error == ETIMEDOUT || error == EAGAIN)
        return lost(Loss::timed_out, "no connection in time");
    if (error != 0) return lost(Loss::refused, ipc::errno_text(error));
    socket_ = std::move(made);
    return {};
}

/// One request over the kept connection, or over a new one; closes it where it is not kept.
Attempt ProveClient::exchange(Time deadline)
{
    if (!socket_)
        if (Attempt made = connect(deadline); made.loss || made.not_sent) return made;
    const std::string request =
        fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: clusterctl-prove\r\n"
                    "Accept: */*\r\nConnection: {}\r\n\r\n",
                    path_, address_.host, keeps_ ? "keep-alive" : "close");
    // A few hundred bytes fit into the buffer of a connection that is idle.
    const ssize_t sent = ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
    Attempt attempt;
    AnswerReader reader;
    if (sent != std::ssize(request))
        attempt = lost(Loss::reset, sent < 0 ? ipc::errno_text(errno) : "it took half a request");
    else
        attempt = receive(reader, deadline);
    if (attempt.loss || !keeps_ || !reader.reusable()) socket_.reset();
    return attempt;
}

Attempt ProveClient::receive(AnswerReader& reader, Time deadline)
{
    std::array<char, 16384> chunk;
    while (true) {
        if (!wait_for(socket_.get(), POLLIN, deadline))
            return lost(Loss::timed_out, "no answer in time");
        const ssize_t size = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        const std::string fault = size < 0 ? ipc::errno_text(errno) : "closed by the server";
        if (size > 0)
            reader.push({chunk.data(), static_cast<std::size_t>(size)});
        else if (size == 0)
            reader.end();
        if (reader.state() == AnswerReader::State::complete) return {.status = reader.status()};
        if (reader.state() == AnswerReader::State::broken)
            return lost(Loss::cut, "what came is no HTTP");
        if (size <= 0) {
            Attempt failed = lost(reader.begun() ? Loss::cut : Loss::reset, fault);
            failed.status = reader.status();
            return failed;
        }
    }
}

} // namespace cluster::cli
