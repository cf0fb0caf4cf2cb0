#include "supervisor/engine/sink_connection.hpp"

#include "supervisor/sys/dial.hpp"
#include "supervisor/sys/log_endpoint.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using Descriptor = boost::asio::posix::stream_descriptor;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kFirstPause{100};
constexpr Milliseconds kLongestPause{5000};
constexpr std::size_t kBatchBytes = 32U << 10U;
constexpr int kSendsInARow = 16; ///< then others have their turn

bool is_busy(const ipc::Error& error)
{
    const int code = error.code.value();
    return code == EAGAIN || code == EWOULDBLOCK || code == ENOBUFS;
}

} // namespace

SinkConnection::SinkConnection(boost::asio::io_context& loop, Log& log, std::string name,
                               ipc::SinkAddress address, Tell tell)
    : loop_{loop}, log_{log}, name_{std::move(name)}, address_{std::move(address)},
      tell_{std::move(tell)}, rest_{loop}
{
}

void SinkConnection::send(std::string_view message)
{
    if (queued_ + message.size() > kMaxQueued) {
        ++lost_;
        ++untold_;
        return;
    }
    // Behind the gap, not before the lines that still wait.
    if (untold_ > 0 && queued_ < kMaxQueued / 2) enqueue(tell_(std::exchange(untold_, 0)), 0);
    enqueue(message, 1);
    wake();
}

void SinkConnection::enqueue(std::string_view message, std::uint64_t lines)
{
    const bool joins = !address_.datagrams() && !queue_.empty() &&
                       queue_.back().bytes.size() + message.size() <= kBatchBytes;
    if (!joins) queue_.emplace_back();
    queue_.back().bytes += message;
    queue_.back().lines += lines;
    queued_ += message.size();
}

void SinkConnection::wake()
{
    if (posted_ || waiting_ || (phase_ != Phase::idle && phase_ != Phase::open)) return;
    posted_ = true;
    boost::asio::post(loop_, [self = shared_from_this()] {
        self->posted_ = false;
        if (self->phase_ == Phase::idle)
            self->begin();
        else if (self->phase_ == Phase::open && !self->waiting_)
            self->send_on();
    });
}

void SinkConnection::flush()
{
    if (phase_ == Phase::idle && !queue_.empty()) return begin();
    if (phase_ == Phase::open) send_on();
}

void SinkConnection::finish()
{
    leaving_ = true;
    const bool busy = phase_ == Phase::open || phase_ == Phase::connecting || posted_;
    if (queue_.empty() || !busy) close();
}

void SinkConnection::close()
{
    phase_ = Phase::closed; // before the handlers come back, cancelled
    fd_.reset();
    resolver_.reset();
    rest_.cancel();
}

void SinkConnection::begin()
{
    using enum ipc::SinkTransport;
    switch (address_.transport) {
    case stdout_fd:
        return use(open_stdout(), Phase::open);
    case unix_datagram:
        return use(dial_unix_datagram(address_.path), Phase::open);
    case unix_stream:
        return use(dial_unix(address_.path), Phase::connecting);
    case udp:
    case tcp:
        break;
    }
    error_code not_numeric;
    (void)boost::asio::ip::make_address(address_.host, not_numeric);
    if (not_numeric) return look_up();
    dial(address_.host);
}

/// Asio asks the system's resolver on a thread of its own, which there is from the first name on.
void SinkConnection::look_up()
{
    phase_ = Phase::resolving;
    resolver_.emplace(loop_);
    resolver_->async_resolve(address_.host, std::to_string(address_.port),
                             [self = shared_from_this()](error_code failed, const auto& found) {
                                 if (self->phase_ != Phase::resolving) return;
                                 if (failed)
                                     return self->fail("look up " + self->address_.host + ": " +
                                                       failed.message());
                                 self->dial(found.begin()->endpoint().address().to_string());
                             });
}

void SinkConnection::dial(const std::string& host)
{
    if (address_.transport == ipc::SinkTransport::udp)
        return use(dial_udp(host, address_.port), Phase::open);
    use(dial_tcp(host, address_.port), Phase::connecting);
}

void SinkConnection::use(ipc::Result<ipc::UniqueFd> fd, Phase phase)
{
    if (!fd) return fail(fd.error().text());
    error_code refused;
    fd_.emplace(loop_);
    fd_->assign(fd->get(), refused);
    if (refused) {
        fd_.reset();
        return fail(refused.message());
    }
    (void)fd->release(); // the descriptor owns it now
    phase_ = phase;
    if (phase == Phase::open) return on_connected();
    wait_writable();
}

void SinkConnection::on_connected()
{
    phase_ = Phase::open;
    pause_ = {};
    trouble_.clear();
    if (std::exchange(told_, false)) log_.info("sink " + name_ + " takes lines again");
    if (address_.transport == ipc::SinkTransport::tcp ||
        address_.transport == ipc::SinkTransport::unix_stream)
        watch_peer();
    send_on();
}

void SinkConnection::wait_writable()
{
    waiting_ = true;
    fd_->async_wait(Descriptor::wait_write, [self = shared_from_this()](error_code cancelled) {
        if (cancelled || self->phase_ == Phase::closed) return;
        self->waiting_ = false;
        self->on_writable();
    });
}

void SinkConnection::on_writable()
{
    if (phase_ == Phase::open) return send_on();
    const auto connected = connect_result(fd_->native_handle());
    if (!connected) return fail(connected.error().text());
    on_connected();
}

/// A receiver that closes is noticed at once, not with the line after the next: what is sent in
/// between would be lost without anybody knowing. What it says is of no interest.
void SinkConnection::watch_peer()
{
    fd_->async_wait(Descriptor::wait_read, [self = shared_from_this()](error_code cancelled) {
        if (cancelled || self->phase_ != Phase::open) return;
        std::array<char, 512> heard;
        error_code ended;
        (void)self->fd_->read_some(boost::asio::buffer(heard), ended);
        if (ended && ended != boost::asio::error::would_block)
            return self->fail("the receiver has closed the connection");
        self->watch_peer();
    });
}

void SinkConnection::send_on()
{
    for (int sends = 0; !queue_.empty(); ++sends) {
        if (sends == kSendsInARow) return wake();
        Batch& front = queue_.front();
        const auto some =
            send_some(fd_->native_handle(), std::string_view{front.bytes}.substr(front_sent_));
        if (!some && is_busy(some.error())) return wait_writable();
        if (!some && some.error().code.value() == EMSGSIZE) {
            give_up_batch("a line is too long for it");
            continue;
        }
        if (!some) return fail(some.error().text());
        front_sent_ += *some;
        if (front_sent_ < front.bytes.size()) continue;
        sent_ += front.lines;
        queued_ -= front.bytes.size();
        front_sent_ = 0;
        queue_.pop_front();
    }
    if (untold_ > 0) {
        enqueue(tell_(std::exchange(untold_, 0)), 0);
        return wake();
    }
    if (leaving_) close();
}

void SinkConnection::give_up_batch(const std::string& why)
{
    if (!std::exchange(told_, true)) log_.warn("sink " + name_ + ": " + why);
    lost_ += queue_.front().lines;
    untold_ += queue_.front().lines;
    queued_ -= queue_.front().bytes.size();
    queue_.pop_front();
}

/// Lines that were sent in part are sent again as a whole: those before them have arrived.
void SinkConnection::fail(const std::string& why)
{
    trouble_ = why;
    if (!std::exchange(told_, true))
        log_.warn("sink " + name_ + ": " + why + "; lines wait, then they are dropped and counted");
    fd_.reset();
    waiting_ = false;
    if (front_sent_ > 0) {
        Batch& front = queue_.front();
        const auto newline = front.bytes.rfind('\n', front_sent_ - 1);
        const std::size_t whole = newline == std::string::npos ? 0 : newline + 1;
        const auto lines = static_cast<std::uint64_t>(std::count(
            front.bytes.begin(), front.bytes.begin() + static_cast<std::ptrdiff_t>(whole), '\n'));
        sent_ += std::min(lines, front.lines);
        front.lines -= std::min(lines, front.lines);
        front.bytes.erase(0, whole);
        queued_ -= whole;
        front_sent_ = 0;
    }
    if (leaving_) return close();
    phase_ = Phase::resting;
    pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
    rest_.expires_after(pause_);
    rest_.async_wait([self = shared_from_this()](error_code cancelled) {
        if (!cancelled && self->phase_ == Phase::resting) self->begin();
    });
}

SinkConnection::Figures SinkConnection::figures() const
{
    return {.connected = phase_ == Phase::open,
            .sent = sent_,
            .lost = lost_,
            .waiting = queued_,
            .trouble = trouble_};
}

} // namespace cluster::supervisor
