#include "app/events/host_channel.hpp"

#include "app/base/close_on_exec.hpp"
#include "app/base/completions.hpp"
#include "app/base/ids.hpp"
#include "ipc/base/unique_fd.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <list>
#include <map>
#include <set>
#include <utility>

namespace cluster::app {
namespace {

using Unix = asio::local::stream_protocol;
using ErrorCode = boost::system::error_code;
using Size = std::uint32_t; // in front of each message, in the host's own byte order

constexpr std::size_t kMostUnsent = 8'000'000;
constexpr std::string_view kEnding = ".sock";
constexpr std::chrono::milliseconds kAcceptPause{100}; // while there are no descriptors

struct Peer {
    explicit Peer(asio::io_context& io) : socket{io} {}
    Unix::socket socket;
    std::deque<std::string> queue;
    std::size_t unsent = 0;
};

} // namespace

struct HostChannel::State : std::enable_shared_from_this<State> {
    State(asio::io_context& where, std::string in, Log& to)
        : io{where}, folder{std::move(in)}, log{to}, acceptor{where}
    {
    }

    Result<void> open();
    void tell(std::string_view message);
    void close();

    /// The socket called `name`. By way of the folder's descriptor: a path of a socket has at most
    /// 107 bytes (man 7 unix), and DATA_DIR may have more.
    [[nodiscard]] Unix::endpoint at(std::string_view name) const
    {
        return {fmt::format("/proc/self/fd/{}/{}", directory.get(), name)};
    }
    void push(const std::string& name, std::string_view message);
    static asio::awaitable<void> accept(std::shared_ptr<State> self);
    static asio::awaitable<void> read(std::shared_ptr<State> self,
                                      std::shared_ptr<Unix::socket> from);
    static asio::awaitable<void> send(std::shared_ptr<State> self, std::string name,
                                      std::shared_ptr<Peer> peer);
    void spawn(asio::awaitable<void> work);

    asio::io_context& io;
    std::string folder;
    Log& log;
    Heard heard;
    ipc::UniqueFd directory;
    std::string own; ///< our socket's name; "" while we do not listen
    Unix::acceptor acceptor;
    std::list<std::weak_ptr<Unix::socket>> readers;
    std::map<std::string, std::shared_ptr<Peer>> peers; ///< by the name of their sockets
};

void HostChannel::State::spawn(asio::awaitable<void> work)
{
    asio::co_spawn(io, std::move(work), [self = shared_from_this()](const std::exception_ptr& bad) {
        if (bad) self->log.error("the channel of this host's processes failed");
    });
}

Result<void> HostChannel::State::open()
{
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        return ipc::fail(errno, "make the folder " + folder);
    directory.reset(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return ipc::fail(errno, "open " + folder);
    own = fmt::format("{}-{}{}", ::getpid(), random_token(6), kEnding);
    const std::string hidden = own + ".new";
    ErrorCode code;
    acceptor.open(Unix{}, code);
    if (!code) close_on_exec(acceptor);
    if (!code) acceptor.bind(at(hidden), code);
    if (!code) acceptor.listen(asio::socket_base::max_listen_connections, code);
    if (code) return ipc::fail(code, "listen in " + folder);
    // Only one that listens has its name: who is refused there is dead, and is cleared away.
    if (::renameat(directory.get(), hidden.c_str(), directory.get(), own.c_str()) != 0)
        return ipc::fail(errno, "name a socket in " + folder);
    spawn(accept(shared_from_this()));
    return {};
}

asio::awaitable<void> HostChannel::State::accept(std::shared_ptr<State> self)
{
    while (self->acceptor.is_open()) {
        auto [code, socket] = co_await self->acceptor.async_accept(kAsValue);
        if (!self->acceptor.is_open()) co_return;
        if (code) {
            asio::steady_timer pause{self->io, kAcceptPause};
            co_await pause.async_wait(kAsValue);
            continue;
        }
        close_on_exec(socket);
        const auto from = std::make_shared<Unix::socket>(std::move(socket));
        self->readers.remove_if([](const auto& one) { return one.expired(); });
        self->readers.push_back(from);
        self->spawn(read(self, from));
    }
}

asio::awaitable<void> HostChannel::State::read(std::shared_ptr<State> self,
                                               std::shared_ptr<Unix::socket> from)
{
    std::string message;
    while (true) {
        Size size = 0;
        const auto [none, head] =
            co_await asio::async_read(*from, asio::buffer(&size, sizeof size), kAsValue);
        if (none || size > kMostUnsent) co_return;
        message.resize(size);
        const auto [half, body] = co_await asio::async_read(*from, asio::buffer(message), kAsValue);
        if (half || !self->heard) co_return;
        self->heard(message);
    }
}

void HostChannel::State::tell(std::string_view message)
{
    if (own.empty()) return;
    std::set<std::string> there;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator{folder, code}) {
        std::string name = entry.path().filename();
        if (name.ends_with(kEnding) && name != own) there.insert(std::move(name));
    }
    std::erase_if(peers, [&](const auto& one) { return !there.contains(one.first); });
    for (const std::string& name : there)
        push(name, message);
}

void HostChannel::State::push(const std::string& name, std::string_view message)
{
    auto& peer = peers[name];
    const bool fresh = peer == nullptr;
    if (fresh) peer = std::make_shared<Peer>(io);
    if (peer->unsent + message.size() > kMostUnsent) {
        log.warn("another process of this host does not take its events", {{"process", name}});
        ErrorCode ignored;
        peer->socket.close(ignored);
        peers.erase(name);
        return;
    }
    const auto size = static_cast<Size>(message.size());
    std::string frame(sizeof size, '\0');
    std::memcpy(frame.data(), &size, sizeof size);
    frame += message;
    peer->unsent += frame.size();
    peer->queue.push_back(std::move(frame));
    if (fresh || peer->queue.size() == 1) spawn(send(shared_from_this(), name, peer));
}

/// Sends what is queued; one at a time of each peer.
asio::awaitable<void> HostChannel::State::send(std::shared_ptr<State> self, std::string name,
                                               std::shared_ptr<Peer> peer)
{
    ErrorCode code;
    if (!peer->socket.is_open()) {
        peer->socket.open(Unix{}, code);
        if (!code) close_on_exec(peer->socket);
        if (!code)
            code = std::get<0>(co_await peer->socket.async_connect(self->at(name), kAsValue));
    }
    if (code == asio::error::connection_refused)
        ::unlinkat(self->directory.get(), name.c_str(), 0); // its process is dead
    while (!code && !peer->queue.empty()) {
        const auto bytes = asio::buffer(peer->queue.front());
        code = std::get<0>(co_await asio::async_write(peer->socket, bytes, kAsValue));
        peer->unsent -= peer->queue.front().size();
        peer->queue.pop_front();
    }
    const auto known = self->peers.find(name);
    if (code && known != self->peers.end() && known->second == peer) self->peers.erase(known);
}

void HostChannel::State::close()
{
    ErrorCode ignored;
    if (const std::string name = std::exchange(own, ""); !name.empty())
        ::unlinkat(directory.get(), name.c_str(), 0);
    acceptor.close(ignored);
    for (const auto& one : std::exchange(readers, {}))
        if (const auto socket = one.lock()) socket->close(ignored);
    // What is queued has been acknowledged: it goes out yet, as long as the loop runs.
    for (const auto& [name, peer] : std::exchange(peers, {}))
        if (peer->queue.empty()) peer->socket.close(ignored);
    heard = nullptr;
}

HostChannel::HostChannel(asio::io_context& io, std::string folder, Log& log)
    : state_{std::make_shared<State>(io, std::move(folder), log)}
{
}

HostChannel::~HostChannel()
{
    state_->close();
}

Result<void> HostChannel::open(Heard heard)
{
    state_->heard = std::move(heard);
    auto opened = state_->open();
    if (!opened) close();
    return opened;
}

void HostChannel::tell(std::string_view message)
{
    state_->tell(message);
}

void HostChannel::close()
{
    state_->close();
}

} // namespace cluster::app
