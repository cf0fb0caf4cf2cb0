// A connected socket whose every wait ends: at its deadline, when it is interrupted, or when it is
// cut. One wait at a time, all on the io_context's one thread.
//
// A timer per wait costs more than the wait, so there is one watchdog per connection: each wait
// states its deadline, and the watchdog, which is moved only when a deadline comes before it,
// cancels what is overdue.
#pragma once

#include "ipc/base/unique_fd.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace cluster::app {

namespace asio = boost::asio;
using std::chrono::milliseconds;

class Transport {
public:
    using ErrorCode = boost::system::error_code;
    using Socket = asio::generic::stream_protocol::socket;
    using Instant = std::chrono::steady_clock::time_point;

    /// Takes the connected, non-blocking socket. A failure shows at the first read.
    Transport(asio::io_context& io, ipc::UniqueFd fd, int family);
    ~Transport();
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    [[nodiscard]] static Instant after(milliseconds time)
    {
        return std::chrono::steady_clock::now() + time;
    }

    struct Taken {
        ErrorCode code;
        std::size_t size = 0;
    };
    /// At least one byte, unless it fails: timed_out at `deadline`, operation_aborted when
    /// interrupted or cut, eof, and what the network says.
    asio::awaitable<Taken> read_some(asio::mutable_buffer space, Instant deadline);
    using Bytes = std::array<asio::const_buffer, 3>;
    /// All of it, one after the other. Errors as above.
    asio::awaitable<ErrorCode> write(Bytes bytes, Instant deadline);
    /// Returns after `time`, or when interrupted or cut.
    asio::awaitable<void> sleep(milliseconds time);

    /// Ends the wait under way.
    void interrupt();
    /// Closes the socket and ends the wait under way.
    void cut();
    /// FIN: the other side sees the end.
    void finish();

    [[nodiscard]] bool is_open() const { return socket_.is_open(); }
    /// Whether bytes have arrived that nobody has read.
    [[nodiscard]] bool more_waits() const;
    /// The other end: "10.0.0.1", "::1", "unix".
    [[nodiscard]] std::string peer() const;
    [[nodiscard]] Socket& socket() { return socket_; }

private:
    struct Watch {
        Transport* owner;
    };
    void begin_wait(Instant deadline);
    ErrorCode end_wait(ErrorCode code);
    void watch(Instant until);
    void look();

    Socket socket_;
    asio::steady_timer watchdog_;
    /// Outlives us with the watchdog's handler, which may be queued already when we end.
    std::shared_ptr<Watch> watch_;
    Instant deadline_ = Instant::max(); ///< of the wait under way
    bool watching_ = false;
    bool expired_ = false;
    asio::steady_timer* sleeping_ = nullptr;
};

} // namespace cluster::app
