#include "app/events/engine_packet.hpp"

#include "app/events/guarded_json.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace cluster::app {
namespace {

constexpr char kSeparator = '\x1e';
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr auto kValues = [] {
    std::array<signed char, 256> values{};
    values.fill(-1);
    for (std::size_t i = 0; i < kLetters.size(); ++i)
        values[static_cast<unsigned char>(kLetters[i])] = static_cast<signed char>(i);
    return values;
}();

} // namespace

std::optional<Result<EnginePacket>> EnginePayload::next()
{
    if (done_) return std::nullopt;
    const std::size_t end = rest_.find(kSeparator);
    const std::string_view text = rest_.substr(0, end);
    done_ = end == std::string_view::npos;
    if (!done_) rest_.remove_prefix(end + 1);
    Result<EnginePacket> packet = parse_engine_packet(text);
    if (!packet) done_ = true;
    return packet;
}

Result<EnginePacket> parse_engine_packet(std::string_view text)
{
    if (text.empty()) return bad_message("an empty packet");
    const char type = text[0];
    text.remove_prefix(1);
    if (type == 'b') {
        auto data = from_base64(text);
        if (!data) return bad_message("not base64");
        return EnginePacket{.type = EngineType::message, .data = std::move(*data), .binary = true};
    }
    if (type < '0' || type > '6') return bad_message("unknown packet type");
    return EnginePacket{.type = static_cast<EngineType>(type), .data = std::string{text}};
}

EngineFrame engine_frame(EngineType type, std::string_view data)
{
    std::string text;
    text.reserve(data.size() + 1);
    text += static_cast<char>(type);
    text += data;
    return {.bytes = std::make_shared<const std::string>(std::move(text))};
}

EngineFrame binary_frame(std::string data)
{
    return {.bytes = std::make_shared<const std::string>(std::move(data)), .binary = true};
}

void append_frame(std::string& body, const EngineFrame& frame)
{
    if (!body.empty()) body += kSeparator;
    if (frame.binary)
        body += 'b' + to_base64(*frame.bytes);
    else
        body += *frame.bytes;
}

std::string to_base64(std::string_view bytes)
{
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    std::uint32_t held = 0;
    unsigned bits = 0;
    for (const char byte : bytes) {
        held = (held << 8U) | static_cast<unsigned char>(byte);
        for (bits += 8; bits >= 6; bits -= 6)
            text += kLetters[(held >> (bits - 6)) & 0x3fU];
    }
    if (bits > 0) text += kLetters[(held << (6 - bits)) & 0x3fU];
    text.append((4 - text.size() % 4) % 4, '=');
    return text;
}

std::optional<std::string> from_base64(std::string_view text)
{
    for (int i = 0; i < 2 && text.ends_with('='); ++i)
        text.remove_suffix(1);
    if (text.size() % 4 == 1) return std::nullopt;
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t held = 0;
    unsigned bits = 0;
    for (const char letter : text) {
        const int value = kValues[static_cast<unsigned char>(letter)];
        if (value < 0) return std::nullopt;
        held = (held << 6U) | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes += static_cast<char>(held >> bits & 0xffU);
    }
    return bytes;
}

} // namespace cluster::app
