#include "app/events/socket_packet.hpp"

#include "ipc/base/text.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kMaxIdDigits = 15; // below 2^53, which is exact in JavaScript

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/// Cuts the digits off the front of `text`.
std::string_view take_digits(std::string_view& text)
{
    const auto end = std::ranges::find_if_not(text, is_digit);
    const auto digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    return digits;
}

bool is_event_name(const json& name)
{
    if (name.is_number()) return true;
    return name.is_string() && !is_reserved_event(name.get_ref<const std::string&>());
}

bool is_valid_payload(SocketPacketType type, const std::optional<json>& data)
{
    switch (type) {
    case SocketPacketType::connect:
        return !data || data->is_object();
    case SocketPacketType::disconnect:
        return !data;
    case SocketPacketType::connect_error:
        return data && (data->is_string() || data->is_object());
    case SocketPacketType::event:
    case SocketPacketType::binary_event:
        return data && data->is_array() && !data->empty() && is_event_name(data->front());
    case SocketPacketType::ack:
    case SocketPacketType::binary_ack:
        return data && data->is_array();
    }
    return false;
}

bool is_binary(SocketPacketType type)
{
    return type == SocketPacketType::binary_event || type == SocketPacketType::binary_ack;
}

/// "2-" before the rest of a binary packet.
Result<std::size_t> take_attachments(std::string_view& text)
{
    const auto count = ipc::parse_number<std::size_t>(take_digits(text));
    if (!count || *count < 1 || !text.starts_with('-')) return bad_message("illegal attachments");
    if (*count > kMaxAttachments) return bad_message("too many attachments");
    text.remove_prefix(1);
    return *count;
}

/// "/admin," before the rest; without it "/".
Result<std::string> take_namespace(std::string_view& text)
{
    if (!text.starts_with('/')) return "/";
    const std::size_t end = std::min(text.find(','), text.size());
    if (end > kMaxNamespaceBytes) return bad_message("the namespace is too long");
    std::string name{text.substr(0, end)};
    text.remove_prefix(std::min(end + 1, text.size()));
    return name;
}

struct Parsed {
    SocketPacket packet;
    std::size_t attachments = 0;
};

Result<Parsed> parse(std::string_view text)
{
    if (text.empty() || text[0] < '0' || text[0] > '6') return bad_message("unknown packet type");
    Parsed parsed;
    SocketPacket& packet = parsed.packet;
    packet.type = static_cast<SocketPacketType>(text[0]);
    text.remove_prefix(1);
    if (is_binary(packet.type)) {
        const auto attachments = take_attachments(text);
        if (!attachments) return std::unexpected(attachments.error());
        parsed.attachments = *attachments;
    }
    auto nsp = take_namespace(text);
    if (!nsp) return std::unexpected(nsp.error());
    packet.nsp = std::move(*nsp);
    if (const std::string_view digits = take_digits(text); !digits.empty()) {
        if (digits.size() > kMaxIdDigits) return bad_message("the id is too large");
        packet.id = ipc::parse_number<std::uint64_t>(digits);
    }
    if (!text.empty()) {
        auto data = parse_client_json(text);
        if (!data) return std::unexpected(data.error());
        packet.data = std::move(*data);
    }
    if (!is_valid_payload(packet.type, packet.data)) return bad_message("invalid payload");
    return parsed;
}

/// The number in {"_placeholder": true, "num": N}; nullopt for any other value.
std::optional<std::size_t> placeholder_of(const json& value)
{
    if (!value.is_object()) return std::nullopt;
    const auto mark = value.find("_placeholder");
    if (mark == value.end() || *mark != true) return std::nullopt;
    const auto number = value.find("num");
    if (number == value.end() || !number->is_number_unsigned()) return kMaxAttachments;
    return number->get<std::size_t>();
}

/// Puts each attachment in the place of its placeholder. Each may stand once: a packet that names
/// one many times would grow by its size each time.
bool reconstruct(json& value, std::vector<std::string>& attachments,
                 std::array<bool, kMaxAttachments>& used)
{
    if (const auto number = placeholder_of(value)) {
        if (*number >= attachments.size() || used[*number]) return false;
        used[*number] = true;
        const std::string& bytes = attachments[*number];
        value = json::binary({bytes.begin(), bytes.end()});
        attachments[*number].clear();
        return true;
    }
    if (!value.is_structured()) return true;
    return std::ranges::all_of(value,
                               [&](json& child) { return reconstruct(child, attachments, used); });
}

bool has_binary(const json& value)
{
    if (value.is_binary()) return true;
    return value.is_structured() && std::ranges::any_of(value, has_binary);
}

/// The other way round: binary values move into `frames`.
void deconstruct(json& value, std::vector<EngineFrame>& frames)
{
    if (value.is_binary()) {
        const auto& bytes = value.get_binary();
        const std::size_t number = frames.size() - 1; // the first frame is the text
        frames.push_back(binary_frame({bytes.begin(), bytes.end()}));
        value = {{"_placeholder", true}, {"num", number}};
    } else if (value.is_structured()) {
        for (auto& child : value)
            deconstruct(child, frames);
    }
}

SocketPacketType binary_form(SocketPacketType type)
{
    return type == SocketPacketType::event ? SocketPacketType::binary_event
                                           : SocketPacketType::binary_ack;
}

/// The text before the JSON.
std::string prefix_of(const SocketPacket& packet, std::size_t attachments)
{
    std::string text{static_cast<char>(EngineType::message)};
    text += static_cast<char>(attachments > 0 ? binary_form(packet.type) : packet.type);
    if (attachments > 0) text += std::to_string(attachments) + '-';
    if (packet.nsp != "/") text += packet.nsp + ',';
    if (packet.id) text += std::to_string(*packet.id);
    return text;
}

EngineFrame text_frame(std::string text)
{
    return {.bytes = std::make_shared<const std::string>(std::move(text))};
}

} // namespace

Result<std::optional<SocketPacket>> PacketDecoder::add_text(std::string_view text)
{
    if (waiting_) return bad_message("text in the place of an attachment");
    auto parsed = parse(text);
    if (!parsed) return std::unexpected(parsed.error());
    if (parsed->attachments == 0) return std::move(parsed->packet);
    waiting_ = std::move(parsed->packet);
    expected_ = parsed->attachments;
    return std::nullopt;
}

Result<std::optional<SocketPacket>> PacketDecoder::add_binary(std::string bytes)
{
    if (!waiting_) return bad_message("an attachment without a packet");
    attachments_.push_back(std::move(bytes));
    if (attachments_.size() < expected_) return std::nullopt;

    SocketPacket packet = std::move(*waiting_);
    auto attachments = std::exchange(attachments_, {});
    waiting_.reset();
    packet.type = packet.type == SocketPacketType::binary_event ? SocketPacketType::event
                                                                : SocketPacketType::ack;
    std::array<bool, kMaxAttachments> used{};
    for (auto& value : *packet.data)
        if (!reconstruct(value, attachments, used)) return bad_message("illegal attachments");
    return packet;
}

std::vector<EngineFrame> encode_packet(const SocketPacket& packet)
{
    const bool may_hold_binary =
        packet.type == SocketPacketType::event || packet.type == SocketPacketType::ack;
    if (!packet.data) return {text_frame(prefix_of(packet, 0))};
    if (!may_hold_binary || !has_binary(*packet.data))
        return {text_frame(prefix_of(packet, 0) + json_text(*packet.data))};

    std::vector<EngineFrame> frames(1);
    json data = *packet.data;
    deconstruct(data, frames);
    frames[0] = text_frame(prefix_of(packet, frames.size() - 1) + json_text(data));
    return frames;
}

bool is_reserved_event(std::string_view name)
{
    constexpr std::string_view kReserved[] = {"connect",       "connect_error", "disconnect",
                                              "disconnecting", "newListener",   "removeListener"};
    return std::ranges::find(kReserved, name) != std::end(kReserved);
}

} // namespace cluster::app
