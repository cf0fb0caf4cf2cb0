// Addresses that people log in with. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

/// The address as it is kept: without blanks around it, ASCII letters in lower case. nullopt when
/// it is none: something, '@', a domain with a dot; at most 254 bytes, 64 before the '@' (RFC 5321
/// section 4.5.3.1). Letters beyond ASCII are allowed (RFC 6531). Whether a mail would arrive, only
/// a mail can tell.
[[nodiscard]] std::optional<std::string> normal_email(std::string_view text);

} // namespace cluster::app
