// Names that no two instances give twice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

/// A UUID of version 7 (RFC 9562 section 5.7): begins with the time, so that an index over it grows
/// at its end. Those of one thread grow also within a millisecond. `wall_ms`: milliseconds since
/// 1970.
[[nodiscard]] std::string new_id(std::int64_t wall_ms);

/// Whether `text` has the shape of an id of ours. What has not need not be looked for.
[[nodiscard]] bool is_id(std::string_view text);

/// `bytes` of the kernel's randomness (getrandom(2)) as base64url without padding: for secrets.
[[nodiscard]] std::string random_token(std::size_t bytes = 32);

} // namespace cluster::app
