#include "ipc/net/server.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cluster::ipc {
namespace {

namespace asio = boost::asio;
using Socket = asio::local::stream_protocol::socket;
using boost::system::error_code;

constexpr std::size_t kMaxUnsent = 16U << 20U;
constexpr std::size_t kPauseReadingAt = 1U << 20U; ///< answers unsent: ask the client to read first
constexpr std::size_t kPiece = 64U << 10U;
constexpr std::chrono::seconds kWriteDeadline{30};

std::optional<uid_t> peer_uid(int fd)
{
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return std::nullopt;
    return peer.uid;
}

} // namespace

Session::Session(Socket socket, Server& server, uid_t uid)
    : socket_{std::move(socket)}, server_{server}, uid_{uid},
      write_deadline_{socket_.get_executor()}
{
    ++server_.clients_; // until close
}

void Session::start()
{
    read();
}

void Session::read()
{
    if (reading_ || closing_ || !socket_.is_open() || unsent_ > kPauseReadingAt) return;
    reading_ = true;
    socket_.async_read_some(
        asio::buffer(chunk_), [self = shared_from_this()](error_code failure, std::size_t size) {
            self->reading_ = false;
            // A client that has shut down its sending side may still wait for its answers.
            if (failure == asio::error::eof && (self->writing_ || self->waiting())) {
                self->ended_ = true;
                return self->watch_hangup();
            }
            if (failure) return self->close();
            if (!self->frames_.push({self->chunk_.data(), size})) {
                const RpcError error{.code = kInvalidRequest,
                                     .message = "a request has at most 8388608 bytes",
                                     .data = nullptr};
                self->push({.text = error_frame(nullptr, error), .more = {}});
                return self->close_when_sent();
            }
            self->take_frames();
            self->read();
        });
}

/// The client sends no more. When it closes altogether, nobody is left to answer.
void Session::watch_hangup()
{
    socket_.async_wait(Socket::wait_error, [self = shared_from_this()](error_code cancelled) {
        if (!cancelled) self->close();
    });
}

void Session::take_frames()
{
    while (!closing_ && socket_.is_open()) {
        const auto frame = frames_.next();
        if (!frame) return;
        take(*frame);
    }
}

void Session::take(std::string_view frame)
{
    auto request = parse_request(frame);
    if (!request) {
        push({.text = error_frame(request.error().id, request.error().error), .more = {}});
        return;
    }
    if (request->reply) ++open_requests_;
    if (request->method == "hello") return greet(*request);
    if (!greeted_) {
        return respond(*request, RpcError{.code = kHandshake,
                                          .message = "the first message is hello",
                                          .data = {{"supported", {kProtocolVersion}}}});
    }
    server_.on_request_(shared_from_this(), std::move(*request));
}

void Session::greet(const Request& request)
{
    const json protocol = request.params.value("protocol", json{});
    if (protocol != kProtocolVersion) {
        return respond(request,
                       RpcError{.code = kHandshake,
                                .message = fmt::format("this daemon speaks protocol {}, got {}",
                                                       kProtocolVersion, dump(protocol)),
                                .data = {{"supported", {kProtocolVersion}}}});
    }
    if (const json name = request.params.value("client", json{}); name.is_string())
        client_ = name.get<std::string>().substr(0, 100);
    greeted_ = true;
    const Greeting& us = server_.greeting_;
    respond(request, json{{"protocol", kProtocolVersion},
                          {"version", us.version},
                          {"pid", us.pid},
                          {"guardian_pid", us.guardian_pid},
                          {"home", us.home}});
}

void Session::respond(const Request& request, const json& result)
{
    if (!request.reply) return;
    answered();
    push({.text = result_prefix(request.id) + dump(result) + "}\n", .more = {}});
}

void Session::respond(const Request& request, const RpcError& error)
{
    if (!request.reply) return;
    answered();
    push({.text = error_frame(request.id, error), .more = {}});
}

void Session::respond(const Request& request, Producer producer)
{
    if (!request.reply) return;
    answered();
    Producer whole = [producer = std::move(producer)](std::string& out) {
        if (producer(out)) return true;
        out += "}\n";
        return false;
    };
    push({.text = result_prefix(request.id), .more = std::move(whole)});
}

void Session::answered()
{
    if (open_requests_ > 0) --open_requests_;
}

bool Session::waiting() const
{
    return open_requests_ > 0 || !on_close_.empty();
}

bool Session::notify(std::string frame)
{
    if (!socket_.is_open()) return false;
    if (unsent_ + frame.size() > kMaxUnsent) return close(), false;
    push({.text = std::move(frame), .more = {}});
    return true;
}

void Session::be_patient(std::function<void()> on_sent)
{
    on_sent_ = std::move(on_sent);
    write_deadline_.cancel();
}

void Session::on_close(std::function<void()> callback)
{
    on_close_.push_back(std::move(callback));
}

void Session::push(Item item)
{
    if (!socket_.is_open()) return;
    unsent_ += item.text.size();
    outbox_.push_back(std::move(item));
    if (!writing_) write();
}

/// Makes sure that the front item has text to send; drops items that are through.
bool Session::refill()
{
    while (!outbox_.empty()) {
        Item& item = outbox_.front();
        while (item.more && item.text.size() < kPiece) {
            const std::size_t before = item.text.size();
            const bool more = item.more(item.text);
            unsent_ += item.text.size() - before;
            if (!more) item.more = {};
        }
        if (!item.text.empty()) return true;
        outbox_.pop_front();
    }
    return false;
}

/// As much as the client takes now, without a turn of the loop for each piece.
bool Session::write_now()
{
    while (refill()) {
        std::string& text = outbox_.front().text;
        const ssize_t size =
            ::send(socket_.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size <= 0) return true; // full, or broken: the asynchronous write will tell
        text.erase(0, static_cast<std::size_t>(size));
        unsent_ -= static_cast<std::size_t>(size);
    }
    return false;
}

void Session::write()
{
    if (!write_now()) {
        write_deadline_.cancel();
        if (closing_ || (ended_ && !waiting())) return close();
        if (on_sent_) on_sent_();
        return;
    }
    writing_ = true;
    arm_write_deadline();
    socket_.async_write_some(asio::buffer(outbox_.front().text),
                             [self = shared_from_this()](error_code failure, std::size_t size) {
                                 self->writing_ = false;
                                 if (failure) return self->close();
                                 self->outbox_.front().text.erase(0, size);
                                 self->unsent_ -= size;
                                 self->write();
                                 self->read();
                             });
}

void Session::arm_write_deadline()
{
    if (on_sent_) return;
    write_deadline_.expires_after(kWriteDeadline);
    write_deadline_.async_wait([weak = weak_from_this()](error_code cancelled) {
        if (const auto self = weak.lock(); self && !cancelled) self->close();
    });
}

void Session::close_when_sent()
{
    closing_ = true;
    if (!writing_ && outbox_.empty()) close();
}

void Session::close()
{
    if (!socket_.is_open()) return;
    error_code ignored;
    socket_.close(ignored);
    --server_.clients_;
    server_.spare_.hold();
    write_deadline_.cancel();
    for (auto& callback : std::exchange(on_close_, {}))
        callback();
}

Server::Server(asio::io_context& loop, UniqueFd listener, Greeting greeting, Handler on_request)
    : acceptor_{loop, asio::local::stream_protocol{}, listener.get()}, accept_pause_{loop},
      greeting_{std::move(greeting)}, on_request_{std::move(on_request)}
{
    (void)listener.release(); // the acceptor owns it now
    spare_.hold();
}

void Server::start()
{
    accept();
}

void Server::stop_accepting()
{
    error_code ignored;
    acceptor_.close(ignored);
}

void Server::accept()
{
    acceptor_.async_accept([this](error_code failure, Socket socket) {
        if (failure == asio::error::operation_aborted || !acceptor_.is_open()) return;
        if (spare_.give_up(failure.value())) return accept();
        if (failure) {
            accept_pause_.expires_after(std::chrono::milliseconds{100});
            accept_pause_.async_wait([this](error_code cancelled) {
                if (!cancelled) accept();
            });
            return;
        }
        // Asio 1.81 accepts without close-on-exec.
        ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
        const auto uid = peer_uid(socket.native_handle());
        if (uid && (*uid == 0 || *uid == ::geteuid()))
            std::make_shared<Session>(std::move(socket), *this, *uid)->start();
        else
            refuse(std::move(socket), uid.value_or(static_cast<uid_t>(-1)));
        accept();
    });
}

void Server::refuse(Socket socket, uid_t uid)
{
    const RpcError error{.code = kForbidden,
                         .message =
                             fmt::format("this daemon belongs to uid {}; uid {} may not control it",
                                         ::geteuid(), uid),
                         .data = nullptr};
    auto session = std::make_shared<Session>(std::move(socket), *this, uid);
    session->push({.text = error_frame(nullptr, error), .more = {}});
    session->close_when_sent();
}

Result<UniqueFd> listen_on(const std::string& path)
{
    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return fail(errno, "socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return fail(ENAMETOOLONG, "bind " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) return fail(errno, "remove old " + path);
    const mode_t before = ::umask(0177); // bind takes the socket's mode from the umask
    const int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    const int why = errno;
    ::umask(before);
    if (bound < 0) return fail(why, "bind " + path);
    if (::listen(socket.get(), 1024) < 0) return fail(errno, "listen on " + path);
    return socket;
}

} // namespace cluster::ipc
