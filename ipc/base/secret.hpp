// Comparing what a stranger gives with a secret.
#pragma once

#include <cstddef>
#include <string_view>

namespace cluster::ipc {

/// Takes the same time wherever they differ, so that nobody finds out a secret byte by byte. Its
/// length is not kept.
[[nodiscard]] inline bool equal_in_constant_time(std::string_view given, std::string_view secret)
{
    if (given.size() != secret.size()) return false;
    unsigned differs = 0;
    for (std::size_t at = 0; at < given.size(); ++at)
        differs |= static_cast<unsigned>(given[at] ^ secret[at]);
    return differs == 0;
}

} // namespace cluster::ipc
