#include "app/events/engine_session.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace cluster::app {

std::string_view text_of(CloseReason reason)
{
    switch (reason) {
    case CloseReason::transport_close:
        return "transport close";
    case CloseReason::transport_error:
        return "transport error";
    case CloseReason::ping_timeout:
        return "ping timeout";
    case CloseReason::parse_error:
        return "parse error";
    case CloseReason::forced_close:
        return "forced close";
    case CloseReason::server_shutting_down:
        return "server shutting down";
    case CloseReason::queue_full:
        return "send queue full";
    case CloseReason::too_many_events:
        return "too many events";
    }
    return "?";
}

EngineSession::EngineSession(std::string sid, const EventsOptions& options,
                             EngineTransport transport, milliseconds now)
    : options_{options}, sid_{std::move(sid)}, due_{now + options.ping_interval},
      transport_{transport}
{
}

EngineSession::Meaning EngineSession::receive(const EnginePacket& packet, milliseconds now)
{
    if (state_ != State::open) return Meaning::nothing;
    if (pings_ > 0 && !extended_ && packet.type != EngineType::pong) {
        // It lives, it only has not got to the ping yet (as the official server does, once).
        due_ = now + options_.ping_timeout;
        extended_ = true;
    }
    switch (packet.type) {
    case EngineType::message:
        return Meaning::message;
    case EngineType::pong:
        if (pings_ == 0) return Meaning::nothing; // nobody has asked
        if (--pings_ == 0) due_ = now + options_.ping_interval;
        return Meaning::heartbeat;
    case EngineType::close:
        return Meaning::client_close;
    case EngineType::noop:
    case EngineType::upgrade: // a second one, of a client that is not sure
        return Meaning::nothing;
    case EngineType::open:
    case EngineType::ping: // in protocol 4 the server pings
        return Meaning::wrong;
    }
    return Meaning::wrong;
}

bool EngineSession::push(EngineFrame frame)
{
    if (state_ != State::open) return true; // dropped: nobody will read it
    if (queued_ + frame.size() > options_.max_queue) return false;
    queued_ += frame.size();
    queue_.push_back(std::move(frame));
    return true;
}

std::optional<EngineFrame> EngineSession::take_frame()
{
    if (queue_.empty()) return std::nullopt;
    EngineFrame frame = std::move(queue_.front());
    queue_.pop_front();
    queued_ -= frame.size();
    if (queue_.empty()) queue_.shrink_to_fit();
    return frame;
}

bool EngineSession::poll_is_due() const
{
    if (state_ != State::open || probed_ || transport_ != EngineTransport::polling) return true;
    return marked_ ? queued_ > options_.max_payload / 2 : !queue_.empty();
}

std::string EngineSession::take_poll()
{
    std::string body;
    // After the upgrade the queue belongs to the WebSocket.
    while (transport_ == EngineTransport::polling && !queue_.empty()) {
        const EngineFrame& next = queue_.front();
        const std::size_t size = next.binary ? next.size() * 4 / 3 + 4 : next.size() + 1;
        if (!body.empty() && body.size() + size > options_.max_payload) return body;
        append_frame(body, next);
        static_cast<void>(take_frame());
    }
    if (state_ != State::open) append_frame(body, engine_frame(EngineType::close));
    if (body.empty()) append_frame(body, engine_frame(EngineType::noop));
    return body;
}

bool EngineSession::begin_upgrade()
{
    if (state_ != State::open || transport_ == EngineTransport::websocket || probing_) return false;
    probing_ = true;
    return true;
}

void EngineSession::end_upgrade(bool taken_over)
{
    probing_ = false;
    probed_ = false;
    if (taken_over) transport_ = EngineTransport::websocket;
}

EngineSession::Tick EngineSession::tick(milliseconds now)
{
    if (state_ != State::open || now < due_) return Tick::nothing;
    if (pings_ > 0) return Tick::timed_out;
    // A queue without room for one byte belongs to a client that does not read.
    return ping(now) ? Tick::ping : Tick::timed_out;
}

bool EngineSession::ping(milliseconds now)
{
    if (pings_++ == 0) {
        extended_ = false;
        due_ = now + options_.ping_timeout;
    }
    static const EngineFrame kPing = engine_frame(EngineType::ping);
    return push(kPing);
}

bool EngineSession::mark(milliseconds now)
{
    marked_ = true;
    if (state_ != State::open || transport_ == EngineTransport::polling) return true;
    return ping(now);
}

milliseconds EngineSession::deadline() const
{
    return due_;
}

void EngineSession::close()
{
    if (state_ == State::open) state_ = State::closing;
}

void EngineSession::closed()
{
    state_ = State::closed;
    queue_.clear();
    queue_.shrink_to_fit();
    queued_ = 0;
}

EngineFrame open_frame(const EngineSession& session, const EventsOptions& options)
{
    const bool polling = session.transport() == EngineTransport::polling;
    const nlohmann::ordered_json data = {
        {"sid", session.sid()},
        {"upgrades",
         polling ? nlohmann::ordered_json::array({"websocket"}) : nlohmann::ordered_json::array()},
        {"pingInterval", options.ping_interval.count()},
        {"pingTimeout", options.ping_timeout.count()},
        {"maxPayload", options.max_payload}};
    return engine_frame(EngineType::open, data.dump());
}

} // namespace cluster::app
