// Finding and reading ecosystem files in the user's own environment: the file system, standard
// input, and node for JavaScript. What the text means is decided by ipc/wire/ecosystem.hpp.
#pragma once

#include "ipc/base/clock.hpp"
#include "ipc/base/system.hpp"
#include "ipc/wire/ecosystem.hpp"

#include <string>
#include <string_view>

namespace cluster::cli {

/// What reading files depends on.
struct FileContext {
    ipc::System& system;
    const ipc::Clock& clock;
    std::string cwd;              ///< of the caller, absolute
    ipc::Environment environment; ///< of the caller
    int stdin_fd = 0;
};

/// True for what `start` takes as an ecosystem file and not as a script (PM2's rule): "-", and
/// names that end in .json, .yaml, .yml, .config.js, .config.cjs or .config.mjs.
[[nodiscard]] bool is_ecosystem_file(std::string_view name);

/// Reads and parses one file; "-" is JSON on standard input. `.js`, `.cjs` and `.mjs` of any name
/// are evaluated by node, at most 10 s. Messages name the file as `path` has it. Never throws.
[[nodiscard]] ipc::Ecosystem load_ecosystem(const std::string& path, const std::string& env_name,
                                            FileContext& context);

} // namespace cluster::cli
