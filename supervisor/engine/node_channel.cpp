#include "supervisor/engine/node_channel.hpp"

#include "supervisor/engine/node_saved.hpp"
#include "supervisor/sys/fd_channel.hpp"
#include "supervisor/sys/keeper.hpp"

#include <boost/asio/post.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <variant>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;
using nlohmann::json;
using Descriptor = boost::asio::posix::stream_descriptor;

/// After each full buffer: a worker that never stops talking gets 32 MB/s, the others the rest.
constexpr std::chrono::milliseconds kBreath{2};
/// Half a line is looked at again after pauses that double up to this one. Node's own lines come
/// whole; what takes longer may have no room for its other half, and is taken out bit by bit.
constexpr std::chrono::milliseconds kLongestLook{256};
/// As Node's own primary does (MAX_HANDLE_RETRANSMISSIONS).
constexpr int kMaxLosses = 3;

bool must_wait(const ipc::Error& error)
{
    return error.code == std::errc::resource_unavailable_try_again;
}

/// One for all channels: nothing stays in it between two reads.
std::array<char, NodeChannel::kMaxLineBytes>& read_buffer()
{
    static std::array<char, NodeChannel::kMaxLineBytes> buffer;
    return buffer;
}

} // namespace

std::optional<NodeChannel::Past> NodeChannel::Past::read(const json& saved)
{
    SavedObject from{saved};
    Past past{.marked = from.flag("marked"), .unsent = {}};
    for (const json& entry : from.list("unsent")) {
        SavedObject line{entry};
        past.unsent.push_back({.text = line.text("line"),
                               .sent = line.number<std::size_t>("sent"),
                               .handle = line.number<std::uint64_t>("handle"),
                               .overtakes = line.flag("overtakes")});
        if (!line.good() || past.unsent.back().sent >= past.unsent.back().text.size())
            return std::nullopt;
    }
    if (!from.good()) return std::nullopt;
    return past;
}

NodeChannel::NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, Calls calls)
    : socket_{loop}, pause_{loop}, calls_{std::move(calls)}, ended_{!ours}
{
    if (ended_) return;
    socket_.assign(ours.release());
    read_on();
}

NodeChannel::NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, Calls calls, Past past,
                         const HandleOf& handle_of)
    : NodeChannel{loop, std::move(ours), std::move(calls)}
{
    marked_ = past.marked;
    if (ended_) return;
    for (Past::Line& line : past.unsent) {
        Out out{.line = std::move(line.text), .overtakes = line.overtakes, .sent = line.sent};
        if (line.handle != 0) out.handle = handle_of(line.handle);
        if (line.handle != 0 && !out.handle) continue;
        count(out);
        unsent_.push_back(std::move(out));
    }
    boost::asio::post(loop, [this, alive = std::weak_ptr{alive_}] {
        if (!alive.expired()) flush();
    });
}

json NodeChannel::saved() const
{
    json lines = json::array();
    for (const Out& out : unsent_) {
        if (!out.matters()) continue;
        const bool with_handle = out.handle && out.sent == 0; // it goes with the first byte
        lines.push_back({{"line", out.line},
                         {"sent", out.sent},
                         {"handle", with_handle ? inode_of(out.handle->get()) : 0},
                         {"overtakes", out.overtakes}});
    }
    return {{"marked", marked_}, {"unsent", std::move(lines)}};
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
    count(out);
    unsent_.push_back(std::move(out));
    flush();
}

/// Before everything that has not begun to go out.
void NodeChannel::put_first(Out out)
{
    if (marked_ && out.overtakes) out.line.insert(out.line.begin(), kBunMark);
    count(out);
    const bool begun = !unsent_.empty() && unsent_.front().sent > 0;
    unsent_.insert(unsent_.begin() + (begun ? 1 : 0), std::move(out));
    flush();
}

void NodeChannel::count(const Out& out)
{
    unsent_bytes_ += out.line.size();
    if (!out.plain) answer_bytes_ += out.line.size();
}

void NodeChannel::uncount(const Out& out)
{
    unsent_bytes_ -= out.line.size();
    if (!out.plain) answer_bytes_ -= out.line.size();
}

void NodeChannel::flush()
{
    write_on();
    look_for_change();
}

/// Nearly always everything goes out at once, and there is nothing to be written down.
void NodeChannel::look_for_change()
{
    const auto count = static_cast<std::size_t>(std::ranges::count_if(unsent_, &Out::matters));
    const std::pair now{count, unsent_.empty() ? 0 : unsent_.front().sent};
    if (std::exchange(told_, now) != now && calls_.changed) calls_.changed();
}

void NodeChannel::write_on()
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
        unsent_bytes_ = answer_bytes_ = 0;
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
    uncount(done);
    if (done.handle) under_way_ = std::move(done);
}

void NodeChannel::measure_lag()
{
    if (ended_ || marked_ || lag_asked_ || under_way_ || !unsent_.empty()) return;
    push({.line = node_lag_question(), .plain = true}); // nobody misses it
    lag_asked_ = std::chrono::steady_clock::now();
}

std::optional<std::chrono::duration<double>> NodeChannel::lag() const
{
    if (!lag_asked_) return lag_;
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - *lag_asked_;
    return lag_ ? std::max(*lag_, waited) : waited;
}

void NodeChannel::on_taken()
{
    under_way_.reset();
    flush();
}

void NodeChannel::on_lost()
{
    // Answers come in order, and no handle was under way when the question went out.
    if (const auto asked = std::exchange(lag_asked_, std::nullopt)) {
        lag_ = std::chrono::steady_clock::now() - *asked;
        return;
    }
    if (!under_way_) return;
    Out again = std::move(*std::exchange(under_way_, std::nullopt));
    again.sent = 0;
    if (++again.losses <= kMaxLosses) return put_first(std::move(again));
    flush(); // the app never hears; a Node primary gives up here too
}

void NodeChannel::read_on()
{
    if (ended_ || reading_) return;
    if (answer_bytes_ > kMaxUnsentBytes) return; // goes on when there is room again
    reading_ = true;
    socket_.async_wait(Descriptor::wait_read,
                       [this, alive = std::weak_ptr{alive_}](error_code cancelled) {
                           if (cancelled || alive.expired()) return;
                           reading_ = false;
                           on_readable();
                       });
}

void NodeChannel::read_after(std::chrono::milliseconds pause)
{
    reading_ = true;
    pause_.expires_after(pause);
    pause_.async_wait([this, alive = std::weak_ptr{alive_}](error_code cancelled) {
        if (cancelled || alive.expired()) return;
        reading_ = false;
        read_on();
    });
}

void NodeChannel::on_readable()
{
    auto& buffer = read_buffer();
    const auto seen = peek_bytes(socket_.native_handle(), buffer);
    // Never at once: the worker has this end too, and could make it ready with nothing to be seen.
    if (!seen && must_wait(seen.error())) return read_after(kBreath);
    if (!seen || seen->size == 0) return end();
    // Behind bytes that came with a descriptor nothing is seen until they are taken out.
    const bool whole_lines = !seen->handles && patience_ < kLongestLook;
    const auto done = take_window({buffer.data(), seen->size}, whole_lines);
    if (!done) return;
    if (*done == 0) {
        if (answer_bytes_ > kMaxUnsentBytes) return;
        patience_ = std::max(kBreath, 2 * patience_);
        return read_after(patience_);
    }
    patience_ = {};
    reading_ = true;
    // Behind everything that the callbacks have put off until after their turn.
    boost::asio::post(socket_.get_executor(), [this, alive = std::weak_ptr{alive_}, size = *done,
                                               flooded = seen->size == buffer.size()] {
        if (!alive.expired()) consume(size, flooded);
    });
}

std::optional<std::size_t> NodeChannel::take_window(std::string_view window, bool whole_lines)
{
    std::size_t done = 0;
    if (skipping_) {
        const std::size_t newline = window.find('\n');
        if (newline == std::string_view::npos) return window.size();
        skipping_ = false;
        done = newline + 1;
    }
    while (answer_bytes_ <= kMaxUnsentBytes) {
        const std::size_t newline = window.find('\n', done);
        if (newline == std::string_view::npos)
            return take_rest(window.substr(done), whole_lines) ? window.size() : done;
        const std::string_view line = window.substr(done, newline - done);
        done = newline + 1;
        if (!take_line(line)) return std::nullopt;
    }
    return done;
}

/// False when a callback has destroyed this channel.
bool NodeChannel::take_line(std::string_view line)
{
    const std::string begin = std::exchange(held_, {});
    if (begin.size() + line.size() > kMaxLineBytes) return true;
    const std::string whole = begin.empty() ? std::string{} : begin + std::string{line};
    if (!whole.empty()) line = whole;
    if (line.starts_with(kBunMark) && !std::exchange(marked_, true) && calls_.changed)
        calls_.changed();
    return take(parse_node_message(line));
}

bool NodeChannel::take(const NodeMessage& message)
{
    if (std::holds_alternative<NodeHandleTaken>(message)) {
        on_taken();
    } else if (std::holds_alternative<NodeHandleLost>(message)) {
        on_lost();
    } else {
        const std::weak_ptr alive{alive_};
        calls_.message(message);
        return !alive.expired();
    }
    return true;
}

/// True when what is no whole line is taken out all the same.
bool NodeChannel::take_rest(std::string_view rest, bool whole_lines)
{
    const bool too_long = held_.size() + rest.size() >= kMaxLineBytes;
    if (whole_lines && held_.empty() && !too_long) return false;
    held_ += rest;
    if (too_long) held_.clear();
    skipping_ = too_long;
    return true;
}

void NodeChannel::consume(std::size_t size, bool flooded)
{
    reading_ = false;
    const std::span buffer{read_buffer()};
    while (size > 0) {
        const auto received = receive_bytes(socket_.native_handle(), buffer.first(size));
        if (!received || received->size == 0) break; // the next look tells why
        size -= received->size;
        if (received->handles) put_first({.line = node_handle_taken(), .overtakes = true});
    }
    if (flooded) return read_after(kBreath);
    read_on();
}

void NodeChannel::end()
{
    ended_ = true;
    boost::system::error_code ignored;
    socket_.close(ignored);
    unsent_.clear();
    unsent_bytes_ = answer_bytes_ = 0;
    under_way_.reset();
    calls_.end();
}

} // namespace cluster::supervisor
