#include "app/base/ids.hpp"

#include "ipc/base/check.hpp"

#include <fmt/format.h>

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

namespace cluster::app {
namespace {

void fill(unsigned char* bytes, std::size_t size)
{
    while (size > 0) {
        const ssize_t got = ::getrandom(bytes, size, 0);
        if (got < 0 && errno == EINTR) continue;
        // Once the system is up it cannot fail (man 2 getrandom), and ids that repeat are worse.
        CLUSTER_CHECK(got > 0, "getrandom failed");
        bytes += got;
        size -= static_cast<std::size_t>(got);
    }
}

/// Twelve bits that grow within a millisecond, so that what one process makes later comes later in
/// an order by id (RFC 9562 section 6.2, method 1). They begin in their lower half by chance; after
/// more than 2048 in one millisecond the order within it is lost, not the uniqueness.
unsigned turn_in(std::int64_t wall_ms, unsigned chance)
{
    thread_local std::int64_t last_ms = -1;
    thread_local unsigned turn = 0;
    turn = wall_ms == last_ms ? turn + 1 : chance & 0x7FFU;
    last_ms = wall_ms;
    return turn & 0xFFFU;
}

} // namespace

std::string new_id(std::int64_t wall_ms)
{
    std::array<unsigned char, 16> bytes{};
    fill(bytes.data(), bytes.size());
    for (std::size_t i = 0; i < 6; ++i)
        bytes[i] = static_cast<unsigned char>(wall_ms >> (40 - 8 * i));
    const unsigned turn = turn_in(wall_ms, unsigned{bytes[6]} << 8U | bytes[7]);
    bytes[6] = static_cast<unsigned char>((turn >> 8U) | 0x70U); // version
    bytes[7] = static_cast<unsigned char>(turn);
    bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3FU) | 0x80U); // variant
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
    return text;
}

bool is_id(std::string_view text)
{
    constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    return std::ranges::equal(text, kShape, [](char c, char shape) {
        if (shape == '-') return c == '-';
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    });
}

std::string random_token(std::size_t bytes)
{
    constexpr std::string_view kLetters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::vector<unsigned char> random(bytes);
    fill(random.data(), random.size());
    std::string text;
    unsigned held = 0;
    unsigned bits = 0;
    for (const unsigned char byte : random) {
        held = (held << 8U) | byte;
        for (bits += 8; bits >= 6; bits -= 6)
            text += kLetters[(held >> (bits - 6)) & 0x3FU];
    }
    if (bits > 0) text += kLetters[(held << (6 - bits)) & 0x3FU];
    return text;
}

} // namespace cluster::app
