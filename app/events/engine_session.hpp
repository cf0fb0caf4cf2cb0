// What Engine.IO decides about one client, without a socket or a clock: which packet means what on
// which transport, what waits to be sent, when a ping is due and when its answer is overdue.
//
//   open ──close()──▶ closing ──last packet taken──▶ closed
//     └──lost (ping timeout, error, the client's close)──▶ closed
//
//   polling ──probe──▶ probing ──upgrade packet──▶ websocket
//      ▲                  └──the probe's connection ends──┘ (back to polling)
#pragma once

#include "app/events/engine_packet.hpp"
#include "app/events/events_options.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cluster::app {

enum class EngineTransport { polling, websocket };

/// Why a connection ended, in the words of the official server.
enum class CloseReason {
    transport_close,
    transport_error,
    ping_timeout,
    parse_error,
    forced_close,         ///< by the application
    server_shutting_down, ///< the client connects again by itself
    queue_full,           ///< it reads too slowly
    too_many_events,      ///< it sends too fast
};
[[nodiscard]] std::string_view text_of(CloseReason reason);

class EngineSession {
public:
    EngineSession(std::string sid, const EventsOptions& options, EngineTransport transport,
                  milliseconds now);

    [[nodiscard]] const std::string& sid() const { return sid_; }
    [[nodiscard]] EngineTransport transport() const { return transport_; }
    enum class State { open, closing, closed };
    [[nodiscard]] State state() const { return state_; }

    /// What a packet of the client means. `message`: for the application. `heartbeat`: it has
    /// answered a ping.
    enum class Meaning { nothing, message, heartbeat, client_close, wrong };
    [[nodiscard]] Meaning receive(const EnginePacket& packet, milliseconds now);

    /// Puts a packet into the queue. false: it is full, and the client must go.
    [[nodiscard]] bool push(EngineFrame frame);
    [[nodiscard]] bool has_frames() const { return !queue_.empty(); }
    /// Unsent bytes.
    [[nodiscard]] std::size_t queued() const { return queued_; }
    [[nodiscard]] std::optional<EngineFrame> take_frame();

    /// Whether a poll has something to answer with now.
    [[nodiscard]] bool poll_is_due() const;
    /// The body that answers a poll: queued packets up to the payload's limit (one at least), a
    /// noop when there is none, the close packet at the end.
    [[nodiscard]] std::string take_poll();

    /// One poll and one post at a time: false for another one.
    [[nodiscard]] bool begin_poll() { return !std::exchange(polling_, true); }
    void end_poll() { polling_ = false; }
    [[nodiscard]] bool has_poll() const { return polling_; }
    [[nodiscard]] bool begin_post() { return !std::exchange(posting_, true); }
    void end_post() { posting_ = false; }

    /// A WebSocket asks to take over. false: it is one already, or another one asks.
    [[nodiscard]] bool begin_upgrade();
    /// "2probe" came: the poll under way is answered, so that the client can pause.
    void probe() { probed_ = probing_; }
    void end_upgrade(bool taken_over);

    /// What the time asks for. `ping`: a packet is in the queue now.
    enum class Tick { nothing, ping, timed_out };
    [[nodiscard]] Tick tick(milliseconds now);
    /// When `tick` has something to do next.
    [[nodiscard]] milliseconds deadline() const;

    /// Before the end. A WebSocket gets a ping out of turn, whose answer comes behind all that the
    /// client has sent before; false: the queue is full. A poll is kept from now on: it may be the
    /// last one, and takes all there is to say with it.
    [[nodiscard]] bool mark(milliseconds now);
    /// No ping and no request is under way: what was on its way at the `mark` has come.
    [[nodiscard]] bool caught_up() const
    {
        return transport_ == EngineTransport::polling ? !posting_ : pings_ == 0;
    }

    /// Ends it after what is in the queue.
    void close();
    void closed();

private:
    [[nodiscard]] bool ping(milliseconds now);

    const EventsOptions& options_;
    std::string sid_;
    std::deque<EngineFrame> queue_;
    std::size_t queued_ = 0;
    milliseconds due_; ///< the next ping; or, while one is unanswered, the end of patience
    EngineTransport transport_;
    State state_ = State::open;
    int pings_ = 0;         ///< unanswered
    bool extended_ = false; ///< something else than the pong came: once it gives more time
    bool polling_ = false;
    bool posting_ = false;
    bool probing_ = false;
    bool probed_ = false;
    bool marked_ = false;
};

/// The first packet of a session: its id, and how it will behave.
[[nodiscard]] EngineFrame open_frame(const EngineSession& session, const EventsOptions& options);

} // namespace cluster::app
