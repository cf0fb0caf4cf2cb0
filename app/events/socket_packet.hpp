// Packets of Socket.IO, protocol 5, inside the messages of Engine.IO
// (github.com/socketio/socket.io-protocol): type, attachments, namespace, id and JSON in one text,
// and each binary value of it in a message of its own after it. Pure.
#pragma once

#include "app/events/engine_packet.hpp"
#include "app/events/guarded_json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

enum class SocketPacketType : char {
    connect = '0',
    disconnect = '1',
    event = '2',
    ack = '3',
    connect_error = '4',
    binary_event = '5', ///< on the wire alone: a decoded one is an event
    binary_ack = '6',
};

struct SocketPacket {
    SocketPacketType type = SocketPacketType::event;
    std::string nsp = "/";
    std::optional<std::uint64_t> id{};
    std::optional<json> data{}; ///< of an event [name, args...]; binary values stand in it
};

/// As many as the official server takes from a client.
constexpr std::size_t kMaxAttachments = 10;
constexpr std::size_t kMaxNamespaceBytes = 256;

/// Puts the packets of one client together.
class PacketDecoder {
public:
    /// nullopt: its attachments are still to come. Errors: bad_message; the connection must end.
    [[nodiscard]] Result<std::optional<SocketPacket>> add_text(std::string_view text);
    [[nodiscard]] Result<std::optional<SocketPacket>> add_binary(std::string bytes);

private:
    std::optional<SocketPacket> waiting_; ///< for attachments
    std::size_t expected_ = 0;
    std::vector<std::string> attachments_;
};

/// What is to be sent: the text, then each attachment.
[[nodiscard]] std::vector<EngineFrame> encode_packet(const SocketPacket& packet);

/// Names that the libraries emit themselves: a client that sends one breaks the protocol.
[[nodiscard]] bool is_reserved_event(std::string_view name);

} // namespace cluster::app
