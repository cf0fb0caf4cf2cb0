// An ecosystem file as bytes in, values out. Reading files and running JavaScript is the business
// of cli/ecosystem_files.hpp.
#pragma once

#include "ipc/wire/app_spec.hpp"
#include "ipc/wire/diagnostic.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

enum class Format { json, yaml };

struct Ecosystem {
    std::vector<AppSpec> apps; ///< the good ones, in the order of the file
    Diagnostics diagnostics;   ///< start nothing when has_errors(diagnostics)
};

/// Parses the text of `file` (its name is for messages only) and gives each app its
/// `env_<env_name>` unless that is empty. The top level is an array of apps, one app, or an object
/// with `apps` (or PM2's `pm2`). JSON may hold comments and trailing commas. Never throws; nesting,
/// size and the expansion of YAML aliases are limited.
[[nodiscard]] Ecosystem parse_ecosystem(std::string_view text, Format format,
                                        const std::string& file, const std::string& env_name);

} // namespace cluster::ipc
