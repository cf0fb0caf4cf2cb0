#include "supervisor/core/memory_pressure.hpp"

#include <algorithm>

namespace cluster::supervisor {
namespace {

constexpr int kMost = 500;
constexpr int kLeast = 50;
constexpr int kStep = 50; ///< a little more or less memory changes nothing
constexpr std::uint64_t kRelief = 16;

} // namespace

int cpu_share(std::uint64_t memory, std::uint64_t high, int now)
{
    if (memory <= high - high / kRelief) return kWholeShare;
    if (memory <= high) return now == kWholeShare ? kWholeShare : kMost;
    const double above = static_cast<double>(memory - high) / static_cast<double>(high);
    const int share = kMost - static_cast<int>(std::min(above, 1.0) * 2 * kWholeShare);
    return std::max(share / kStep * kStep, kLeast);
}

} // namespace cluster::supervisor
