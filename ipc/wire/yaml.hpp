// YAML as JSON values, for ecosystem files. Scalars are typed by the core schema of YAML 1.2, with
// one exception: a whole number with a leading zero stays text, since whoever writes `umask: 022`
// means octal and whoever writes `ZIP: 01234` means the digits. Aliases and merge keys (`<<`) work.
#pragma once

#include "ipc/wire/diagnostic.hpp"

#include <nlohmann/json_fwd.hpp>

#include <expected>
#include <string>

namespace cluster::ipc {

/// Parses the one document of `text`; an empty text is null. Never throws. Nesting is limited to
/// 64, and what anchors and aliases copy to 4 MiB, so that no short file grows into a huge one.
[[nodiscard]] std::expected<nlohmann::json, TextFault> parse_yaml(const std::string& text);

} // namespace cluster::ipc
