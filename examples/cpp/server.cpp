// A C++ HTTP server on every socket that clusterctl hands over, one thread per connection. No
// signal handler. Build it with: c++ -std=c++17 -O2 -pthread -o server server.cpp
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

/// What sd_listen_fds(3) does: the sockets are the descriptors from 3 on.
std::vector<pollfd> passed_sockets()
{
    std::vector<pollfd> sockets;
    const char* pid = std::getenv("LISTEN_PID");
    const char* count = std::getenv("LISTEN_FDS");
    if (!pid || !count || std::atoi(pid) != getpid()) return sockets;
    for (int fd = 3; fd < 3 + std::atoi(count); ++fd) {
        fcntl(fd, F_SETFL, O_NONBLOCK); // another worker may take the connection first
        sockets.push_back({fd, POLLIN, 0});
    }
    return sockets;
}

/// Answers requests without a body until the client has no more.
void serve(int client)
{
    const std::string body = "{\"pid\":" + std::to_string(getpid()) + "}\n";
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body;
    std::string inbox;
    char piece[4096];
    for (ssize_t size; (size = read(client, piece, sizeof piece)) > 0;) {
        inbox.append(piece, static_cast<std::size_t>(size));
        for (std::size_t end; (end = inbox.find("\r\n\r\n")) != std::string::npos;) {
            inbox.erase(0, end + 4);
            send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
    }
    close(client);
}

int main()
{
    std::vector<pollfd> sockets = passed_sockets();
    if (sockets.empty()) return 2;
    while (poll(sockets.data(), sockets.size(), -1) > 0) {
        for (const pollfd& socket : sockets) {
            const int client = socket.revents ? accept(socket.fd, nullptr, nullptr) : -1;
            if (client >= 0) std::thread{serve, client}.detach();
        }
    }
}
