// Clients that ask a server on 127.0.0.1 as fast as it answers, and count what is lost:
//
//   load PORT CLIENTS PATH COUNT    until stdin ends; says "enough" when COUNT were done or failed
//
// Each client opens a connection, sends one request with "Connection: close" and reads to the end.
// An answer counts when its status is 200 and its body complete; everything else is a failure, with
// no second try. Then prints, as JSON, how many were done and failed, percentiles of the time from
// connect to the last byte in ms, and the first few failures.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::int64_t kGivenUpAfter = 30'000'000'000;
constexpr int kRefusedPause = 1; // ms: a refused connection costs nothing, and proves nothing twice

struct Client {
    int fd = -1;
    std::int64_t begin = 0;
    bool sent = false;
    std::string answer;
};

struct Tally {
    std::vector<float> latencies;
    long failed = 0;
    std::vector<std::string> reasons;
};

std::int64_t now()
{
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

bool complete(const std::string& answer)
{
    if (!answer.starts_with("HTTP/1.1 200 ")) return false;
    const std::size_t body = answer.find("\r\n\r\n");
    const std::size_t length = answer.find("Content-Length: ");
    if (body == std::string::npos) return false;
    if (length == std::string::npos || length > body) return answer.ends_with("\r\n0\r\n\r\n");
    return answer.size() - body - 4 == std::strtoul(answer.c_str() + length + 16, nullptr, 10);
}

void lost(Tally& tally, const Client& client, const char* what, int error)
{
    ++tally.failed;
    if (tally.reasons.size() < 5)
        tally.reasons.push_back(std::string{what} + ": " + std::strerror(error) + " after " +
                                std::to_string(client.answer.size()) + " bytes");
}

bool open_one(int epoll, Client& client, std::uint32_t index, const sockaddr_in& address)
{
    client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    client.begin = now();
    client.sent = false;
    client.answer.clear();
    const int done =
        ::connect(client.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (done != 0 && errno != EINPROGRESS) return false;
    epoll_event event{.events = EPOLLOUT, .data = {.u32 = index}};
    return ::epoll_ctl(epoll, EPOLL_CTL_ADD, client.fd, &event) == 0;
}

/// Goes on with a client; false when its connection has ended, which is then accounted for.
bool step(int epoll, Client& client, std::uint32_t index, const std::string& request, Tally& tally)
{
    if (!client.sent) {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) return lost(tally, client, "connect", error), false;
        if (::send(client.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0)
            return lost(tally, client, "send", errno), false;
        client.sent = true;
        epoll_event event{.events = EPOLLIN, .data = {.u32 = index}};
        ::epoll_ctl(epoll, EPOLL_CTL_MOD, client.fd, &event);
        return true;
    }
    char bytes[16384];
    const ssize_t size = ::recv(client.fd, bytes, sizeof bytes, 0);
    if (size > 0) return client.answer.append(bytes, static_cast<std::size_t>(size)), true;
    if (size < 0 && errno == EAGAIN) return true;
    if (size < 0)
        lost(tally, client, "receive", errno);
    else if (!complete(client.answer))
        lost(tally, client, "incomplete", 0);
    else
        tally.latencies.push_back(static_cast<float>(now() - client.begin) / 1e6F);
    return false;
}

void print(Tally& tally, std::int64_t taken)
{
    std::sort(tally.latencies.begin(), tally.latencies.end());
    const auto quantile = [&](double share) {
        const std::size_t count = tally.latencies.size();
        return count == 0 ? 0.0F
                          : tally.latencies[static_cast<std::size_t>(
                                static_cast<double>(count - 1) * share)];
    };
    std::printf("{\"done\": %zu, \"failed\": %ld, \"seconds\": %.3f, \"p50\": %.3f, \"p99\": %.3f, "
                "\"max\": %.3f, \"reasons\": [",
                tally.latencies.size(), tally.failed, static_cast<double>(taken) / 1e9,
                static_cast<double>(quantile(0.5)), static_cast<double>(quantile(0.99)),
                static_cast<double>(quantile(1)));
    for (std::size_t i = 0; i < tally.reasons.size(); ++i)
        std::printf("%s\"%s\"", i == 0 ? "" : ", ", tally.reasons[i].c_str());
    std::printf("]}\n");
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 5) return 2;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string request =
        std::string{"GET "} + argv[3] + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    std::vector<Client> clients(static_cast<std::size_t>(std::atoi(argv[2])));
    Tally tally;
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    const std::int64_t begin = now();
    std::size_t enough = std::strtoul(argv[4], nullptr, 10);
    for (bool ending = false; !ending;) {
        pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
        ending = ::poll(&input, 1, 0) > 0;
        for (std::uint32_t i = 0; i < clients.size(); ++i) {
            Client& client = clients[i];
            if (client.fd >= 0 && now() - client.begin > kGivenUpAfter) {
                lost(tally, client, "no answer", ETIMEDOUT);
                ::close(client.fd);
                client.fd = -1;
            }
            if (client.fd < 0 && !ending && !open_one(epoll, client, i, address)) {
                lost(tally, client, "connect", errno);
                ::close(client.fd);
                client.fd = -1;
            }
        }
        epoll_event events[64];
        const long failed = tally.failed;
        const int count = ::epoll_wait(epoll, events, 64, 10);
        for (int i = 0; i < count; ++i) {
            Client& client = clients[events[i].data.u32];
            if (step(epoll, client, events[i].data.u32, request, tally)) continue;
            ::close(client.fd);
            client.fd = -1;
        }
        if (enough > 0 &&
            tally.latencies.size() + static_cast<std::size_t>(tally.failed) >= enough) {
            enough = 0;
            std::puts("enough");
            std::fflush(stdout);
        }
        if (tally.failed > failed) ::poll(nullptr, 0, kRefusedPause);
        // What is under way when the end is asked for is neither done nor lost.
    }
    print(tally, now() - begin);
    return 0;
}
