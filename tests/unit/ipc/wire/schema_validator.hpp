// A JSON Schema validator for what ecosystem.schema.json uses of draft 7, so that tests can hold
// the schema against the parser. An unknown keyword fails the test that met it.
#pragma once

#include <nlohmann/json.hpp>

namespace cluster::ipc::test {

/// Whether `value` obeys `schema`; references are looked up in `root`.
[[nodiscard]] bool obeys(const nlohmann::json& value, const nlohmann::json& schema,
                         const nlohmann::json& root);

/// Whether an app is good according to the schema of ecosystem files.
[[nodiscard]] bool schema_accepts(const nlohmann::json& app);

} // namespace cluster::ipc::test
