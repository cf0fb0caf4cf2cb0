// Which server of a Redis Cluster has a key (redis.io/docs/reference/cluster-spec). Pure.
#pragma once

#include "app/redis/options.hpp"
#include "app/redis/redis.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace cluster::app {

constexpr std::uint16_t kSlots = 16384;

/// CRC16 of the CCITT family (XMODEM), as the specification's appendix has it.
[[nodiscard]] std::uint16_t crc16(std::string_view bytes);

/// The slot of a key; of what stands in its first {…}, when that is not empty.
[[nodiscard]] std::uint16_t key_slot(std::string_view key);

/// "MOVED 3999 10.0.0.1:6381" or "ASK …".
struct Redirect {
    bool ask = false; ///< this time only, after ASKING
    std::uint16_t slot = 0;
    RedisAddress address{};
    bool operator==(const Redirect&) const = default;
};
/// An address without a host means the host of the server that answered. Nothing when `text` is
/// another error.
[[nodiscard]] std::optional<Redirect> parse_redirect(std::string_view text,
                                                     std::string_view asked_host);

/// Who has which slots.
class SlotMap {
public:
    SlotMap() { owners_.fill(kNobody); }

    /// The answer to CLUSTER SLOTS; see parse_redirect about `asked_host`. Errors: refused.
    [[nodiscard]] static Result<SlotMap> parse(const RedisReply& reply,
                                               std::string_view asked_host);

    /// Null when nobody has it.
    [[nodiscard]] const RedisAddress* owner(std::uint16_t slot) const;
    void set_owner(std::uint16_t slot, const RedisAddress& address);
    /// Whether every slot has an owner.
    [[nodiscard]] bool whole() const;
    [[nodiscard]] const std::vector<RedisAddress>& masters() const { return masters_; }
    [[nodiscard]] const std::vector<RedisAddress>& replicas() const { return replicas_; }

private:
    static constexpr std::uint16_t kNobody = 0xffff;

    std::uint16_t number_of(const RedisAddress& master);

    std::vector<RedisAddress> masters_;
    std::vector<RedisAddress> replicas_;
    std::array<std::uint16_t, kSlots> owners_{}; ///< index in `masters_`
};

} // namespace cluster::app
