// Our end of the IPC channel of one Node worker: lines in both directions, sockets from us to it.
//
// A socket goes out only when the one before has been acknowledged, and nothing overtakes it: Node
// matches a descriptor with the next line that announces one. Descriptors from the worker are
// closed and acknowledged at once, since its queue stands still until then.
//
// No worker can harm us here: it is read at a bounded pace, of a line that is longer than any of
// Node's own nothing is kept, and while it leaves our answers unread we read nothing from it.
#pragma once

#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/frame.hpp"
#include "supervisor/core/node_protocol.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::supervisor {

class NodeChannel {
public:
    using OnMessage = std::function<void(const NodeMessage&)>;
    using OnEnd = std::function<void()>;

    /// Both are called on the loop, never out of the constructor or `send`; they may destroy the
    /// channel. `on_end` is called once: the worker has closed its end, or it is gone.
    NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, OnMessage on_message,
                OnEnd on_end);
    NodeChannel(const NodeChannel&) = delete;
    NodeChannel& operator=(const NodeChannel&) = delete;

    /// `line` ends in a newline. After the end it goes nowhere.
    void send(std::string line);
    /// With a socket, which is kept open until the worker has it.
    void send(std::string line, std::shared_ptr<const ipc::UniqueFd> handle);
    /// A line for the app itself (`process.on('message')`): bun wants no mark before these.
    void send_plain(std::string line);
    [[nodiscard]] bool ended() const { return ended_; }
    /// The worker leaves unread what we say: more of it is better kept back.
    [[nodiscard]] bool full() const { return unsent_bytes_ > kMaxUnsentBytes; }

    /// Longer lines are dropped unread: they are traffic of the app.
    static constexpr std::size_t kMaxLineBytes = 64UL << 10U;
    /// Nothing is read while this much of ours waits for the worker.
    static constexpr std::size_t kMaxUnsentBytes = 256UL << 10U;

private:
    struct Out {
        std::string line;
        std::shared_ptr<const ipc::UniqueFd> handle{};
        bool overtakes = false; ///< an acknowledgement: not held back by a socket under way
        bool plain = false;     ///< traffic of the app
        std::size_t sent = 0;
        int losses = 0;
    };

    void push(Out out);
    void flush();
    bool write_front();
    void on_written();
    void on_taken();
    void on_lost();
    void put_first(Out out);

    void read_on();
    void read_later();
    void on_readable();
    void take_bytes(std::string_view bytes);
    /// False when a callback has destroyed this channel.
    bool take_lines();
    bool take(const NodeMessage& message);
    void end();

    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    OnMessage on_message_;
    OnEnd on_end_;
    ipc::FrameReader lines_{kMaxLineBytes};
    bool skipping_ = false; ///< the rest of a line that got too long
    bool reading_ = false;  ///< a wait for more to read, or a pause before it, is under way
    bool writing_ = false;  ///< a wait for room is under way
    bool marked_ = false;   ///< the worker is bun
    bool ended_ = false;
    std::deque<Out> unsent_;
    std::size_t unsent_bytes_ = 0;
    std::optional<Out> under_way_; ///< the socket that is not acknowledged yet
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late completions look at it
};

} // namespace cluster::supervisor
