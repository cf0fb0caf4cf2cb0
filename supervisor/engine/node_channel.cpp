#include "supervisor/engine/node_channel.hpp"

#include "supervisor/sys/fd_channel.hpp"

#include <array>
#include <chrono>
#include <utility>
#include <variant>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using Descriptor = boost::asio::posix::stream_descriptor;

constexpr std::size_t kReadBytes = 64UL << 10U;
/// After each full buffer: a worker that never stops talking gets 32 MB/s, the others the rest.
constexpr std::chrono::milliseconds kBreath{2};
/// As Node's own primary does (MAX_HANDLE_RETRANSMISSIONS).
constexpr int kMaxLosses = 3;

bool must_wait(const ipc::Error& error)
{
    return error.code == std::errc::resource_unavailable_try_again;
}

/// One for all channels: nothing stays in it between two reads.
std::array<char, kReadBytes>& read_buffer()
{
    static std::array<char, kReadBytes> buffer;
    return buffer;
}

} // namespace

NodeChannel::NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, OnMessage on_message,
                         OnEnd on_end)
    : socket_{loop, ours.release()}, pause_{loop}, on_message_{std::move(on_message)},
      on_end_{std::move(on_end)}
{
    read_on();
}

void NodeChannel::send(std::string line)
{
    push({.line = std::move(line)});
}

void NodeChannel::send(std::string line, std::shared_ptr<const ipc::UniqueFd> handle)
{
    push({.line = std::move(line), .handle = std::move(handle)});
}

void NodeChannel::send_plain(std::string line)
{
    push({.line = std::move(line), .plain = true});
}

void NodeChannel::push(Out out)
{
    if (ended_) return;
    if (marked_ && !out.plain) out.line.insert(out.line.begin(), kBunMark);
    unsent_bytes_ += out.line.size();
    unsent_.push_back(std::move(out));
    flush();
}

/// Before everything that has not begun to go out.
void NodeChannel::put_first(Out out)
{
    if (marked_ && out.overtakes) out.line.insert(out.line.begin(), kBunMark);
    unsent_bytes_ += out.line.size();
    const bool begun = !unsent_.empty() && unsent_.front().sent > 0;
    unsent_.insert(unsent_.begin() + (begun ? 1 : 0), std::move(out));
    flush();
}

void NodeChannel::flush()
{
    while (!ended_ && !writing_ && !unsent_.empty()) {
        const Out& front = unsent_.front();
        if (under_way_ && !front.overtakes) return;
        if (!write_front()) return;
    }
}

/// True when the line is out.
bool NodeChannel::write_front()
{
    Out& front = unsent_.front();
    const int handle = front.handle && front.sent == 0 ? front.handle->get() : -1;
    const auto sent = send_with_handle(socket_.native_handle(),
                                       std::string_view{front.line}.substr(front.sent), handle);
    if (!sent && !must_wait(sent.error())) {
        // The worker is gone. Reading tells so too, and first hands out what it had still said.
        unsent_.clear();
        unsent_bytes_ = 0;
        return false;
    }
    front.sent += sent.value_or(0);
    if (front.sent == front.line.size()) {
        on_written();
        return true;
    }
    writing_ = true;
    socket_.async_wait(Descriptor::wait_write,
                       [this, alive = std::weak_ptr{alive_}](error_code cancelled) {
                           if (cancelled || alive.expired()) return;
                           writing_ = false;
                           flush();
                           read_on();
                       });
    return false;
}

void NodeChannel::on_written()
{
    Out done = std::move(unsent_.front());
    unsent_.pop_front();
    unsent_bytes_ -= done.line.size();
    if (done.handle) under_way_ = std::move(done);
}

void NodeChannel::on_taken()
{
    under_way_.reset();
    flush();
}

void NodeChannel::on_lost()
{
    if (!under_way_) return;
    Out again = std::move(*std::exchange(under_way_, std::nullopt));
    again.sent = 0;
    if (++again.losses <= kMaxLosses) return put_first(std::move(again));
    flush(); // the app never hears; a Node primary gives up here too
}

/// What was read while our answers stood unread comes first, then what the worker says next.
void NodeChannel::read_on()
{
    if (ended_ || reading_ || !take_lines()) return;
    if (full()) return; // goes on when there is room again
    reading_ = true;
    socket_.async_wait(Descriptor::wait_read,
                       [this, alive = std::weak_ptr{alive_}](error_code cancelled) {
                           if (cancelled || alive.expired()) return;
                           reading_ = false;
                           on_readable();
                       });
}

void NodeChannel::read_later()
{
    reading_ = true;
    pause_.expires_after(kBreath);
    pause_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired()) return;
        reading_ = false;
        read_on();
    });
}

void NodeChannel::on_readable()
{
    auto& buffer = read_buffer();
    const auto received = receive_bytes(socket_.native_handle(), buffer);
    if (!received && must_wait(received.error())) return read_on();
    if (!received || received->size == 0) return end();
    if (received->handles) put_first({.line = node_handle_taken(), .overtakes = true});
    take_bytes({buffer.data(), received->size});
    if (received->size < buffer.size()) return read_on();
    if (take_lines()) read_later();
}

void NodeChannel::take_bytes(std::string_view bytes)
{
    while (!bytes.empty()) {
        if (!skipping_) {
            if (lines_.push(bytes)) return;
            skipping_ = true;
        }
        const std::size_t newline = bytes.find('\n');
        if (newline == std::string_view::npos) return;
        skipping_ = false;
        bytes.remove_prefix(newline + 1);
    }
}

bool NodeChannel::take_lines()
{
    while (!full()) {
        const auto line = lines_.next();
        if (!line) return true;
        if (line->starts_with(kBunMark)) marked_ = true;
        if (!take(parse_node_message(*line))) return false;
    }
    return true;
}

bool NodeChannel::take(const NodeMessage& message)
{
    if (std::holds_alternative<NodeHandleTaken>(message)) {
        on_taken();
    } else if (std::holds_alternative<NodeHandleLost>(message)) {
        on_lost();
    } else {
        const std::weak_ptr alive{alive_};
        on_message_(message);
        return !alive.expired();
    }
    return true;
}

void NodeChannel::end()
{
    ended_ = true;
    socket_.close();
    unsent_.clear();
    under_way_.reset();
    on_end_();
}

} // namespace cluster::supervisor
