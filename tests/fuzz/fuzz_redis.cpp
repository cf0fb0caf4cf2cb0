// What a Redis, a sentinel or something else on its port sends, in pieces. Nothing may crash, take
// memory without bounds, or hang, and what comes out can be looked at.
#include "app/redis/slots.hpp"
#include "app/redis/wire.hpp"
#include "ipc/base/check.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

using namespace cluster::app;

namespace {

std::size_t count(const RedisReply& reply)
{
    std::size_t total = 1;
    for (const RedisReply& item : reply.items)
        total += count(item);
    return total;
}

void look_at(const RedisReply& reply)
{
    CLUSTER_CHECK(count(reply) <= (1U << 20U) + 1, "a reply has bounds");
    if (const auto map = SlotMap::parse(reply, "asked")) {
        for (const RedisAddress& master : map->masters())
            CLUSTER_CHECK(master.port != 0, "a master can be reached");
    }
    const auto outcome = outcome_of(reply);
    if (outcome) return;
    const auto redirect = parse_redirect(outcome.error().what, "asked");
    if (!redirect) return;
    CLUSTER_CHECK(redirect->slot < kSlots, "a slot exists");
    CLUSTER_CHECK(redirect->address.port != 0, "a redirect leads somewhere");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view bytes{reinterpret_cast<const char*>(data), size};
    if (bytes.empty()) return 0;
    const std::size_t step = data[0] % 16U + 1; // the first byte says it
    bytes.remove_prefix(1);
    static_cast<void>(parse_redis_url(bytes));
    static_cast<void>(parse_redis_address(bytes, 1));
    CLUSTER_CHECK(key_slot(bytes) < kSlots, "a key has a slot");
    ReplyReader reader;
    while (!bytes.empty()) {
        reader.feed(bytes.substr(0, step));
        bytes.remove_prefix(std::min(step, bytes.size()));
        while (true) {
            const auto reply = reader.next();
            if (!reply) return 0;
            if (!*reply) break;
            look_at(**reply);
        }
    }
    return 0;
}
