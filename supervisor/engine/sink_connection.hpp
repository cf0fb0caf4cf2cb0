// One place where lines go besides files: connects by itself, comes back by itself, and never holds
// anybody up. What it cannot send waits here, at most kMaxQueued bytes; what comes then is lost,
// counted, and told to the receiver by a line of its own once it takes lines again. All workers
// that name the same sink share one of these.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/log_sink.hpp"
#include "supervisor/engine/log.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class SinkConnection : public std::enable_shared_from_this<SinkConnection> {
public:
    static constexpr std::size_t kMaxQueued = 4U << 20U;

    struct Figures {
        bool connected = false;
        std::uint64_t sent = 0;  ///< lines that the receiver's machine has taken
        std::uint64_t lost = 0;  ///< lines for which there was no room
        std::size_t waiting = 0; ///< bytes
        std::string trouble;     ///< why it is not connected; "" it is, or has not tried
    };
    /// The line that tells of a loss, in the form of the sink.
    using Tell = std::function<std::string(std::uint64_t lost)>;

    SinkConnection(boost::asio::io_context& loop, Log& log, std::string name,
                   ipc::SinkAddress address, Tell tell);

    /// One message as `append_sink_message` makes it. It is sent with the next turn of the loop at
    /// the earliest, so that a burst goes out together.
    void send(std::string_view message);
    /// Tries to send what waits, once, without waiting for anything: for the way out.
    void flush();
    /// Nobody sends any more: closes once all has been sent, at once when it is not connected.
    void finish();
    void close();

    [[nodiscard]] const ipc::SinkAddress& address() const { return address_; }
    [[nodiscard]] Figures figures() const;

private:
    /// Whole messages: one of a datagram sink, several of a stream.
    struct Batch {
        std::string bytes;
        std::uint64_t lines = 0;
    };
    enum class Phase {
        idle,       ///< nothing to send, nothing open
        resolving,  ///< its name is being looked up
        connecting, ///< the descriptor gets writable when that is over
        open,
        resting, ///< failed; the timer starts the next attempt
        closed,
    };

    void enqueue(std::string_view message, std::uint64_t lines);
    void wake();
    void begin();
    void look_up();
    void dial(const std::string& host);
    void use(ipc::Result<ipc::UniqueFd> fd, Phase phase);
    void on_connected();
    void on_writable();
    void wait_writable();
    void watch_peer();
    void send_on();
    void fail(const std::string& why);
    void give_up_batch(const std::string& why);

    boost::asio::io_context& loop_;
    Log& log_;
    std::string name_;
    ipc::SinkAddress address_;
    Tell tell_;
    Phase phase_ = Phase::idle;
    std::optional<boost::asio::posix::stream_descriptor> fd_;
    std::optional<boost::asio::ip::tcp::resolver> resolver_;
    boost::asio::steady_timer rest_;
    std::chrono::milliseconds pause_{0};
    std::deque<Batch> queue_;
    std::size_t queued_ = 0;     ///< bytes
    std::size_t front_sent_ = 0; ///< of the first batch
    bool waiting_ = false;       ///< for the descriptor to become writable
    bool posted_ = false;
    bool leaving_ = false;
    bool told_ = false; ///< the trouble stands in the log
    std::uint64_t sent_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t untold_ = 0; ///< lost, and the receiver does not know yet
    std::string trouble_;
};

} // namespace cluster::supervisor
