// What `util.inspect(value, {depth: null})` of Node prints for a JSON value, byte for byte, because
// scripts read `prettylist`, which PM2 prints with it. Pure.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace cluster::cli {

/// `value` in Node's notation: strings in single quotes, keys quoted only when they are no
/// identifiers, short values on one line of at most 80 columns, longer lists of small entries in
/// aligned columns. Arrays end after 100 entries ("... 7 more items"), strings after 10,000
/// characters.
[[nodiscard]] std::string inspect(const nlohmann::ordered_json& value);

} // namespace cluster::cli
