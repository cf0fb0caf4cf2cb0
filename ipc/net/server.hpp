// The daemon's end of the control socket: accepts, checks who is there, cuts requests out of the
// stream and writes answers, without ever waiting for a client. One thread, callbacks only: every
// frame is treated the same.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/spare_fd.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/frame.hpp"
#include "ipc/wire/rpc.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cluster::ipc {

/// Appends the next piece of an answer; false when that was the last one. An answer of any size is
/// made piece by piece as the client reads, never as a whole.
using Producer = std::function<bool(std::string& out)>;

class Server;

/// One connected client. Kept alive by its own pending operations; whoever else needs it later
/// holds a weak_ptr.
class Session : public std::enable_shared_from_this<Session> {
public:
    Session(boost::asio::local::stream_protocol::socket socket, Server& server, uid_t uid);

    [[nodiscard]] uid_t uid() const { return uid_; }
    [[nodiscard]] const std::string& client() const { return client_; }
    [[nodiscard]] bool open() const { return socket_.is_open(); }

    /// Answers; does nothing for a request that was a notification.
    void respond(const Request& request, const json& result);
    void respond(const Request& request, const RpcError& error);
    /// `producer` writes the text of the result.
    void respond(const Request& request, Producer producer);
    /// Queues a notification. False, and the client is dropped, when more than 16 MiB are unsent.
    bool notify(std::string frame);
    /// Notifications queued and not yet written, in bytes.
    [[nodiscard]] std::size_t unsent() const { return unsent_; }
    /// A client that takes its time (it writes to something slow) is not dropped for that.
    /// `on_sent` runs whenever all that was queued is written.
    void be_patient(std::function<void()> on_sent);
    /// Runs when the connection is closed, whoever closes it.
    void on_close(std::function<void()> callback);
    void close();
    /// Closes once everything queued has been written.
    void close_when_sent();

private:
    friend class Server;
    struct Item {
        std::string text;
        Producer more; ///< called when `text` is out; empty: this was all
    };

    void start();
    void read();
    void watch_hangup();
    void take_frames();
    void take(std::string_view frame);
    void greet(const Request& request);
    void push(Item item);
    void write();
    bool write_now();
    bool refill();
    void arm_write_deadline();
    void answered();
    /// Something will still be sent: an answer under way or a subscription.
    [[nodiscard]] bool waiting() const;

    boost::asio::local::stream_protocol::socket socket_;
    Server& server_;
    uid_t uid_;
    std::string client_ = "?";
    bool greeted_ = false;
    FrameReader frames_{kMaxRequestBytes};
    std::array<char, 4096> chunk_{};
    std::deque<Item> outbox_;
    std::size_t unsent_ = 0;
    bool writing_ = false;
    bool reading_ = false;
    bool closing_ = false;
    bool ended_ = false; ///< the client sends no more, but may still read
    int open_requests_ = 0;
    boost::asio::steady_timer write_deadline_;
    std::vector<std::function<void()>> on_close_;
    std::function<void()> on_sent_; ///< see be_patient
};

/// What the daemon tells about itself in `hello`.
struct Greeting {
    std::string version;
    pid_t pid = 0;
    pid_t guardian_pid = 0;
    std::string home;
};

class Server {
public:
    using Handler = std::function<void(const std::shared_ptr<Session>&, Request)>;

    /// `listener` is a bound and listening Unix stream socket. `on_request` gets every request
    /// after a good `hello`.
    Server(boost::asio::io_context& loop, UniqueFd listener, Greeting greeting, Handler on_request);

    void start();
    /// No new clients; the ones there stay.
    void stop_accepting();
    [[nodiscard]] int clients() const { return clients_; }

private:
    friend class Session;
    void accept();
    void refuse(boost::asio::local::stream_protocol::socket socket, uid_t uid);

    boost::asio::local::stream_protocol::acceptor acceptor_;
    boost::asio::steady_timer accept_pause_; ///< no descriptor left: try again, do not spin
    Greeting greeting_;
    Handler on_request_;
    int clients_ = 0; ///< sessions that are open
    /// For one more client when no descriptor is left: it may be the one who comes to make room.
    SpareFd spare_;
};

/// Binds and listens on `path` (0600); an old socket file is removed first, so the caller must hold
/// the home's lock.
Result<UniqueFd> listen_on(const std::string& path);

} // namespace cluster::ipc
