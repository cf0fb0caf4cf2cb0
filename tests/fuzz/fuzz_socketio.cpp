// What clients and other servers of a Socket.IO cluster send, against any bytes. Nothing may crash;
// what was understood is written so that it is understood as the same again.
// The first byte chooses whose bytes they are.
#include "app/events/adapter_message.hpp"
#include "app/events/engine_packet.hpp"
#include "app/events/socket_packet.hpp"
#include "ipc/base/check.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace cluster::app;

namespace {

/// A client's messages, and ours about the same: packet → frames → packet.
void check_again(const SocketPacket& packet)
{
    const auto frames = encode_packet(packet);
    if (frames.size() - 1 > kMaxAttachments) return;
    PacketDecoder decoder;
    Result<std::optional<SocketPacket>> again = std::nullopt;
    for (const EngineFrame& frame : frames) {
        const std::string_view bytes = *frame.bytes;
        again = frame.binary ? decoder.add_binary(std::string{bytes})
                             : decoder.add_text(bytes.substr(1));
        CLUSTER_CHECK(again.has_value(), "what we write is understood");
    }
    CLUSTER_CHECK(again->has_value(), "and complete");
    CLUSTER_CHECK((*again)->nsp == packet.nsp && (*again)->id == packet.id, "and the same");
    CLUSTER_CHECK((*again)->data == packet.data, "and the same data");
}

void poll_body(std::string_view body)
{
    EnginePayload payload{body};
    PacketDecoder decoder;
    while (auto packet = payload.next()) {
        if (!*packet || (*packet)->type != EngineType::message) continue;
        const auto decoded = (*packet)->binary ? decoder.add_binary(std::move((*packet)->data))
                                               : decoder.add_text((*packet)->data);
        if (!decoded) return;
        if (*decoded) check_again(**decoded);
    }
}

void broadcast(std::string_view bytes)
{
    const auto parsed = parse_broadcast(bytes);
    if (!parsed) return;
    const auto again = parse_broadcast(encode_broadcast(*parsed));
    CLUSTER_CHECK(again.has_value(), "a broadcast of ours is understood");
    CLUSTER_CHECK(again->audience.rooms == parsed->audience.rooms, "and for the same rooms");
}

void request(std::string_view bytes)
{
    const auto parsed = parse_request(bytes);
    if (parsed && parsed->addressed)
        CLUSTER_CHECK(parse_request(encode_request(*parsed)).has_value(), "a request of ours is");
    static_cast<void>(parse_response(bytes));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    const std::string_view bytes{reinterpret_cast<const char*>(data) + 1, size - 1};
    if (data[0] == 'p') poll_body(bytes);
    if (data[0] == 'b') broadcast(bytes);
    if (data[0] == 'r') request(bytes);
    return 0;
}
