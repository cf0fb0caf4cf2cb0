#include "app/redis/slots.hpp"

#include "ipc/base/text.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::array<std::uint16_t, 256> make_table()
{
    std::array<std::uint16_t, 256> table{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        unsigned crc = byte << 8U;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc << 1U) ^ ((crc & 0x8000U) != 0 ? 0x1021U : 0U);
        table[byte] = static_cast<std::uint16_t>(crc);
    }
    return table;
}
constexpr auto kTable = make_table();

std::unexpected<ipc::Error> bad(const char* why)
{
    return trouble(Trouble::refused, std::string{"CLUSTER SLOTS: "} + why);
}

/// [host, port, …]; the host may be nil or "" (the one that was asked) or "?" (not known).
std::optional<RedisAddress> address_of(const RedisReply& node, std::string_view asked_host)
{
    if (node.items.size() < 2) return std::nullopt;
    const std::int64_t port = node.items[1].number;
    if (port < 1 || port > 65'535 || node.items[0].text == "?") return std::nullopt;
    const std::string& host = node.items[0].text;
    return RedisAddress{.host = host.empty() ? std::string{asked_host} : host,
                        .port = static_cast<std::uint16_t>(port)};
}

} // namespace

std::uint16_t crc16(std::string_view bytes)
{
    unsigned crc = 0;
    for (const char letter : bytes)
        crc = (crc << 8U) ^ kTable[((crc >> 8U) ^ static_cast<unsigned char>(letter)) & 0xffU];
    return static_cast<std::uint16_t>(crc);
}

std::uint16_t key_slot(std::string_view key)
{
    if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
        const std::size_t close = key.find('}', open + 1);
        if (close != std::string_view::npos && close > open + 1)
            key = key.substr(open + 1, close - open - 1);
    }
    return crc16(key) % kSlots;
}

std::optional<Redirect> parse_redirect(std::string_view text, std::string_view asked_host)
{
    Redirect redirect;
    redirect.ask = text.starts_with("ASK ");
    if (!redirect.ask && !text.starts_with("MOVED ")) return std::nullopt;
    text.remove_prefix(text.find(' ') + 1);
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto slot = ipc::parse_number<std::uint16_t>(text.substr(0, space));
    text.remove_prefix(space + 1);
    // "::1:6379" has no brackets here: the port is what stands after the last colon.
    const std::size_t colon = text.rfind(':');
    if (!slot || *slot >= kSlots || colon == std::string_view::npos) return std::nullopt;
    const auto port = ipc::parse_number<std::uint16_t>(text.substr(colon + 1));
    if (!port || *port == 0) return std::nullopt;
    redirect.slot = *slot;
    redirect.address.host = colon == 0 ? asked_host : text.substr(0, colon);
    redirect.address.port = *port;
    return redirect;
}

Result<SlotMap> SlotMap::parse(const RedisReply& reply, std::string_view asked_host)
{
    if (reply.type != RedisReply::Type::list) return bad("the answer is no list");
    SlotMap map;
    for (const RedisReply& range : reply.items) {
        if (range.items.size() < 3) return bad("a range has no master");
        const std::int64_t first = range.items[0].number;
        const std::int64_t last = range.items[1].number;
        if (first < 0 || first > last || last >= kSlots) return bad("a range is out of bounds");
        const auto master = address_of(range.items[2], asked_host);
        if (!master) continue; // its slots have nobody, until a later answer knows better
        const std::uint16_t number = map.number_of(*master);
        std::fill(map.owners_.begin() + first, map.owners_.begin() + last + 1, number);
        for (std::size_t i = 3; i < range.items.size(); ++i)
            if (auto replica = address_of(range.items[i], asked_host))
                map.replicas_.push_back(std::move(*replica));
    }
    return map;
}

std::uint16_t SlotMap::number_of(const RedisAddress& master)
{
    const auto found = std::ranges::find(masters_, master);
    const auto number = static_cast<std::uint16_t>(found - masters_.begin());
    if (found == masters_.end()) masters_.push_back(master);
    return number;
}

const RedisAddress* SlotMap::owner(std::uint16_t slot) const
{
    const std::uint16_t number = owners_[slot % kSlots];
    return number == kNobody ? nullptr : &masters_[number];
}

void SlotMap::set_owner(std::uint16_t slot, const RedisAddress& address)
{
    owners_[slot % kSlots] = number_of(address);
}

bool SlotMap::whole() const
{
    return std::ranges::find(owners_, kNobody) == owners_.end();
}

} // namespace cluster::app
