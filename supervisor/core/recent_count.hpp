// How often something happened within the last hour, in twelve numbers: exact but for the five
// minutes at its far end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cluster::supervisor {

class RecentCount {
public:
    static constexpr std::size_t kParts = 12;
    static constexpr std::int64_t kPartMs = 5 * 60 * 1000;
    /// For whoever saves it: when the newest part began, and the parts by their number modulo
    /// `kParts`.
    struct Saved {
        std::int64_t newest = 0; ///< number of the part since 1970
        std::array<std::uint32_t, kParts> parts{};
        bool operator==(const Saved&) const = default;
    };

    RecentCount() = default;
    explicit RecentCount(const Saved& saved) : saved_{saved} {}
    [[nodiscard]] const Saved& saved() const { return saved_; }

    void add(std::int64_t wall_ms)
    {
        const std::int64_t now = wall_ms / kPartMs;
        forget_until(now);
        ++at(saved_.newest);
    }
    [[nodiscard]] std::uint32_t within_hour(std::int64_t wall_ms) const
    {
        RecentCount copy = *this;
        copy.forget_until(wall_ms / kPartMs);
        std::uint32_t sum = 0;
        for (const std::uint32_t part : copy.saved_.parts)
            sum += part;
        return sum;
    }

private:
    std::uint32_t& at(std::int64_t part)
    {
        return saved_.parts[static_cast<std::size_t>(part) % kParts];
    }
    /// A clock that was set back counts on where it was.
    void forget_until(std::int64_t now)
    {
        if (now - saved_.newest >= static_cast<std::int64_t>(kParts)) saved_.parts = {};
        for (; saved_.newest < now && now - saved_.newest < static_cast<std::int64_t>(kParts);)
            at(++saved_.newest) = 0;
        if (saved_.newest < now) saved_.newest = now;
    }

    Saved saved_;
};

} // namespace cluster::supervisor
