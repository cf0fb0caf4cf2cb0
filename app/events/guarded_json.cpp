#include "app/events/guarded_json.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::app {
namespace {

/// Adds up what looking up the keys of all objects will cost.
class KeyWork {
public:
    /// One object that has `members` by now gets another one.
    [[nodiscard]] bool add(std::size_t members)
    {
        return (work_ += 2 * members + 1) <= kMaxKeyWork;
    }

private:
    std::size_t work_ = 0;
};

/// Walks over JSON text without understanding it: only strings, brackets and colons count.
Result<void> check_json(std::string_view text)
{
    std::vector<std::size_t> members; // of each open bracket
    KeyWork work;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\') ++i;
            if (c == '"') quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == '{' || c == '[') members.push_back(0);
        if (members.size() > kMaxDepth) return bad_message("nested too deeply");
        if (c == ':' && !members.empty() && !work.add(members.back()++))
            return bad_message("too many members in an object");
        if ((c == '}' || c == ']') && !members.empty()) members.pop_back();
    }
    return {};
}

/// One value's head in msgpack (github.com/msgpack/msgpack/blob/master/spec.md).
struct Head {
    std::size_t bytes = 0;    ///< of the head itself and what belongs to it alone
    std::size_t children = 0; ///< values that follow
    bool map = false;
};

std::uint64_t big_endian(std::string_view bytes)
{
    std::uint64_t value = 0;
    for (const char byte : bytes)
        value = value << 8U | static_cast<unsigned char>(byte);
    return value;
}

/// nullopt: the byte begins no value, or its length is cut off.
std::optional<Head> head_of(std::string_view rest)
{
    const auto first = static_cast<unsigned char>(rest[0]);
    const auto length = [&](std::size_t size) -> std::optional<std::size_t> {
        if (rest.size() < 1 + size) return std::nullopt;
        return big_endian(rest.substr(1, size));
    };
    if (first <= 0x7f || first >= 0xe0) return Head{.bytes = 1};
    if (first <= 0x8f) return Head{.bytes = 1, .children = 2UL * (first & 0x0fU), .map = true};
    if (first <= 0x9f) return Head{.bytes = 1, .children = first & 0x0fU};
    if (first <= 0xbf) return Head{.bytes = 1UL + (first & 0x1fU)};
    if (first >= 0xca && first <= 0xd3) { // floats, then integers
        constexpr std::size_t kSizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
        return Head{.bytes = 1 + kSizes[first - 0xca]};
    }
    if (first >= 0xd4 && first <= 0xd8) return Head{.bytes = 2 + (1UL << (first - 0xd4U))};
    std::size_t size = 0; // of the length
    std::size_t more = 0; // the type of an extension
    switch (first) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
        return Head{.bytes = 1};
    case 0xc4:
    case 0xd9:
        size = 1;
        break;
    case 0xc5:
    case 0xda:
    case 0xdc:
    case 0xde:
        size = 2;
        break;
    case 0xc6:
    case 0xdb:
    case 0xdd:
    case 0xdf:
        size = 4;
        break;
    case 0xc7:
    case 0xc8:
    case 0xc9:
        size = 1UL << (first - 0xc7U);
        more = 1;
        break;
    default: // 0xc1 is never used
        return std::nullopt;
    }
    const auto count = length(size);
    if (!count) return std::nullopt;
    if (first >= 0xde) return Head{.bytes = 1 + size, .children = 2 * *count, .map = true};
    if (first >= 0xdc) return Head{.bytes = 1 + size, .children = *count};
    return Head{.bytes = 1 + size + more + *count};
}

/// Walks over one value: everything in it is there, and it is not too deep or too wide.
Result<void> check_msgpack(std::string_view bytes)
{
    std::vector<std::size_t> open; // values that are still to come, of each container
    KeyWork work;
    do {
        if (bytes.empty()) return bad_message("msgpack is cut off");
        const auto head = head_of(bytes);
        // Each child takes a byte at least: a count alone cannot take memory.
        if (!head || head->bytes > bytes.size() || head->children > bytes.size() - head->bytes)
            return bad_message("msgpack is cut off");
        bytes.remove_prefix(head->bytes);
        if (head->map)
            for (std::size_t i = 0; i < head->children / 2; ++i)
                if (!work.add(i)) return bad_message("too many members in an object");
        if (!open.empty()) --open.back();
        if (head->children > 0) open.push_back(head->children);
        if (open.size() > kMaxDepth) return bad_message("nested too deeply");
        while (!open.empty() && open.back() == 0)
            open.pop_back();
    } while (!open.empty());
    if (!bytes.empty()) return bad_message("bytes after the msgpack value");
    return {};
}

/// "2026-11-22T15:04:05.678Z"
std::string iso_time(std::int64_t seconds, std::uint32_t nanoseconds)
{
    const std::time_t time = seconds;
    std::tm parts{};
    if (::gmtime_r(&time, &parts) == nullptr) return {};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       nanoseconds / 1'000'000 % 1000);
}

/// An extension as JSON; type -1 is a timestamp in one of three sizes.
json extension_as_json(const json::binary_t& extension)
{
    constexpr std::uint64_t kTimestamp = 0xff; // -1, which the library reads as an unsigned byte
    const std::string_view bytes{reinterpret_cast<const char*>(extension.data()), extension.size()};
    if ((extension.subtype() & 0xffU) != kTimestamp) return nullptr;
    if (bytes.size() == 4) return iso_time(static_cast<std::int64_t>(big_endian(bytes)), 0);
    if (bytes.size() == 8) {
        const std::uint64_t value = big_endian(bytes);
        return iso_time(static_cast<std::int64_t>(value & 0x3'ffff'ffffU),
                        static_cast<std::uint32_t>(value >> 34U));
    }
    if (bytes.size() == 12)
        return iso_time(static_cast<std::int64_t>(big_endian(bytes.substr(4))),
                        static_cast<std::uint32_t>(big_endian(bytes.substr(0, 4))));
    return nullptr;
}

void replace_extensions(json& value)
{
    if (value.is_binary() && value.get_binary().has_subtype())
        value = extension_as_json(value.get_binary());
    else if (value.is_structured())
        for (auto& child : value)
            replace_extensions(child);
}

} // namespace

Result<json> parse_client_json(std::string_view text)
{
    if (const auto checked = check_json(text); !checked) return std::unexpected(checked.error());
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) return bad_message("not JSON");
    return value;
}

Result<json> parse_msgpack(std::string_view bytes)
{
    if (const auto checked = check_msgpack(bytes); !checked)
        return std::unexpected(checked.error());
    json value = json::from_msgpack(bytes, true, false);
    if (value.is_discarded()) return bad_message("not msgpack");
    replace_extensions(value);
    return value;
}

std::string to_msgpack(const json& value)
{
    std::string bytes;
    json::to_msgpack(value, bytes);
    return bytes;
}

std::string json_text(const json& value)
{
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace cluster::app
