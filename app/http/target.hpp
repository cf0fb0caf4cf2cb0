// The target of a request line, taken apart: pure. What a stranger may write in it is decided here
// once: escapes must be whole, and what they stand for must be UTF-8 without NUL, because names and
// values travel on into databases.
#pragma once

#include "app/http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace cluster::app {

struct Target {
    std::string_view path;  ///< as it came: "/api/jobs/a%2Fb"
    std::string_view query; ///< without its question mark
};

/// `text` as it stands in the request line: "/health?x=1", or the absolute form
/// "http://host/health" (RFC 9112 section 3.2.2).
[[nodiscard]] Target split_target(std::string_view text);

/// `text` without its escapes; nullopt for "%", "%4", "%zz", NUL and what is not UTF-8.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);

/// "a=1&b=x%20y" in the order in which they came; '+' is a blank. nullopt as above.
[[nodiscard]] std::optional<Pairs> parse_query(std::string_view query);

} // namespace cluster::app
