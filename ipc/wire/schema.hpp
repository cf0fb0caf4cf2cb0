// What editors and people read about ecosystem files, generated from the attribute table. The
// committed ecosystem.schema.json and docs/configuration.md are these texts; a test compares them.
#pragma once

#include <string>

namespace cluster::ipc {

/// JSON Schema (draft-07, the one editors know best) of an ecosystem file: ecosystem.schema.json.
[[nodiscard]] std::string ecosystem_schema();

/// docs/configuration.md.
[[nodiscard]] std::string configuration_markdown();

} // namespace cluster::ipc
