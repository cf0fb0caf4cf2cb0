// Our end of the IPC channel of one Node worker: lines in both directions, sockets from us to it.
//
// A socket goes out only when the one before has been acknowledged, and nothing overtakes it: Node
// matches a descriptor with the next line that announces one. Descriptors from the worker are
// closed and acknowledged at once, since its queue stands still until then.
//
// No worker can harm us here: it is read at a bounded pace, of a line that is longer than any of
// Node's own nothing is kept, and while it leaves our answers unread we read nothing from it.
//
// The channel outlives us. A line stays in the socket until everything that follows from it is done
// or written down, so whoever comes after us finds what we did not get to, and now and then what we
// did. What could not be sent yet, and a line that is half out, is in `saved`.
#pragma once

#include "ipc/base/unique_fd.hpp"
#include "supervisor/core/node_protocol.hpp"

#include <nlohmann/json_fwd.hpp>

#include <boost/asio/io_context.hpp>
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
#include <utility>
#include <vector>

namespace cluster::supervisor {

class NodeChannel {
public:
    struct Calls {
        std::function<void(const NodeMessage&)> message;
        /// Once: the worker has closed its end, or it is gone.
        std::function<void()> end;
        /// `saved` has changed. Also out of `send`, and it must not destroy the channel.
        std::function<void()> changed{};
    };
    /// What one that goes on has to know of the one before.
    struct Past {
        struct Line {
            std::string text;
            std::size_t sent = 0;     ///< bytes that are out
            std::uint64_t handle = 0; ///< inode of the socket that goes with it
            bool overtakes = false;
        };
        bool marked = false;
        std::vector<Line> unsent;
        /// Empty: it is not what `saved` has made.
        static std::optional<Past> read(const nlohmann::json& saved);
    };
    using HandleOf = std::function<std::shared_ptr<const ipc::UniqueFd>(std::uint64_t inode)>;

    /// The first two calls come on the loop, never out of the constructor or `send`; they may
    /// destroy the channel. Without a descriptor (`ours` is empty) it has ended already.
    NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, Calls calls);
    /// Goes on where another one was: first of all with what that one could not send. A socket that
    /// `handle_of` does not know is left out with its line.
    NodeChannel(boost::asio::io_context& loop, ipc::UniqueFd ours, Calls calls, Past past,
                const HandleOf& handle_of);
    NodeChannel(const NodeChannel&) = delete;
    NodeChannel& operator=(const NodeChannel&) = delete;

    /// `line` ends in a newline. After the end it goes nowhere.
    void send(std::string line);
    /// With a socket, which is kept open until the worker has it.
    void send(std::string line, std::shared_ptr<const ipc::UniqueFd> handle);
    /// A line for the app itself (`process.on('message')`): bun wants no mark before these.
    void send_plain(std::string line);
    /// Asks the worker's event loop how long it takes to come round; `lag` tells later. Not while
    /// something else is on its way to the worker, nor of bun, which may not know the question.
    void measure_lag();
    /// The last measured, or how long an answer is overdue if that is longer; empty: nothing yet.
    [[nodiscard]] std::optional<std::chrono::duration<double>> lag() const;
    [[nodiscard]] bool ended() const { return ended_; }
    /// For Past::read. Traffic of the app that is still to go out is not in it.
    [[nodiscard]] nlohmann::json saved() const;
    /// The worker leaves unread what we say: more of it is better kept back.
    [[nodiscard]] bool full() const { return unsent_bytes_ > kMaxUnsentBytes; }

    /// Longer lines are dropped unread: they are traffic of the app.
    static constexpr std::size_t kMaxLineBytes = 64UL << 10U;
    /// Nothing is read while this much of our answers waits for the worker.
    static constexpr std::size_t kMaxUnsentBytes = 256UL << 10U;

private:
    struct Out {
        std::string line;
        std::shared_ptr<const ipc::UniqueFd> handle{};
        bool overtakes = false; ///< an acknowledgement: not held back by a socket under way
        bool plain = false;     ///< traffic of the app
        std::size_t sent = 0;
        int losses = 0;

        /// It would be missed, or what follows it would be misread.
        [[nodiscard]] bool matters() const { return !plain || sent > 0; }
    };

    void push(Out out);
    void flush();
    void write_on();
    bool write_front();
    void on_written();
    void on_taken();
    void on_lost();
    void put_first(Out out);
    void look_for_change();
    void count(const Out& out);
    void uncount(const Out& out);

    void read_on();
    void read_after(std::chrono::milliseconds pause);
    void on_readable();
    /// How many of the bytes are done with; nothing when a callback has destroyed this channel.
    std::optional<std::size_t> take_window(std::string_view window, bool whole_lines);
    bool take_line(std::string_view line);
    bool take(const NodeMessage& message);
    bool take_rest(std::string_view rest, bool whole_lines);
    void consume(std::size_t size, bool flooded);
    void end();

    boost::asio::posix::stream_descriptor socket_;
    boost::asio::steady_timer pause_;
    Calls calls_;
    std::string held_;      ///< begin of a line that will not get whole in the socket
    bool skipping_ = false; ///< the rest of a line that got too long
    bool reading_ = false;  ///< a wait for more to read, a pause or a turn of the loop is under way
    bool writing_ = false;  ///< a wait for room is under way
    bool marked_ = false;   ///< the worker is bun
    bool ended_ = false;
    std::chrono::milliseconds patience_{0}; ///< before the next look at half a line; 0 the first
    std::deque<Out> unsent_;
    std::size_t unsent_bytes_ = 0;
    std::size_t answer_bytes_ = 0;                   ///< of those, what is no traffic of the app
    std::pair<std::size_t, std::size_t> told_{0, 0}; ///< what `changed` was called for last
    std::optional<std::chrono::steady_clock::time_point> lag_asked_; ///< and not answered
    std::optional<std::chrono::duration<double>> lag_;
    std::optional<Out> under_way_; ///< the socket that is not acknowledged yet
    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< late completions look at it
};

} // namespace cluster::supervisor
