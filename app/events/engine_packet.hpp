// Packets of Engine.IO, protocol 4: what travels in a WebSocket frame, or several of them in the
// body of a poll, parted by the byte 0x1e (github.com/socketio/engine.io-protocol). Pure.
#pragma once

#include "ipc/base/result.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

using ipc::Result;

enum class EngineType : char {
    open = '0',
    close = '1',
    ping = '2',
    pong = '3',
    message = '4',
    upgrade = '5',
    noop = '6',
};

struct EnginePacket {
    EngineType type = EngineType::noop;
    std::string data{};
    bool binary = false; ///< of a message: its bytes, else text
};

/// The body of a poll, packet by packet.
class EnginePayload {
public:
    explicit EnginePayload(std::string_view body) : rest_{body} {}
    /// nullopt after the last one. Errors: bad_message; nothing comes after one.
    [[nodiscard]] std::optional<Result<EnginePacket>> next();

private:
    std::string_view rest_;
    bool done_ = false;
};

/// One packet as text: "4hello", or "bAAEC" for binary (in polls alone). Errors: bad_message.
[[nodiscard]] Result<EnginePacket> parse_engine_packet(std::string_view text);

/// What waits to be sent. The bytes are shared by all the clients that get the same packet.
struct EngineFrame {
    std::shared_ptr<const std::string> bytes; ///< text: the whole packet; binary: the data alone
    bool binary = false;
    [[nodiscard]] std::size_t size() const { return bytes->size(); }
};

[[nodiscard]] EngineFrame engine_frame(EngineType type, std::string_view data = {});
[[nodiscard]] EngineFrame binary_frame(std::string data);

/// Adds `frame` to the body of a poll.
void append_frame(std::string& body, const EngineFrame& frame);

/// RFC 4648 section 4, with padding.
[[nodiscard]] std::string to_base64(std::string_view bytes);
/// nullopt for what is none. Padding may be missing.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

} // namespace cluster::app
