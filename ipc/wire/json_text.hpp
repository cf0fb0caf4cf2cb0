// JSON as people write it: comments and trailing commas are fine, and a mistake is shown by its
// place.
#pragma once

#include "ipc/wire/diagnostic.hpp"

#include <nlohmann/json_fwd.hpp>

#include <expected>
#include <string>

namespace cluster::ipc {

/// Never throws. Nesting is limited to 64.
[[nodiscard]] std::expected<nlohmann::json, TextFault> parse_relaxed_json(std::string text);

} // namespace cluster::ipc
