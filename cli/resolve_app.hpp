// Fills in what an app takes from the user's own environment (working directory, PATH, HOME, the
// files themselves), so that the daemon gets a specification that does not depend on its own.
#pragma once

#include "cli/ecosystem_files.hpp"
#include "ipc/wire/app_spec.hpp"
#include "ipc/wire/diagnostic.hpp"

#include <string>

namespace cluster::cli {

/// Makes `cwd`, `script`, `interpreter` and the files of `spec` absolute, chooses interpreter, name
/// and exec mode where they are absent (PM2's rules), and turns a command line in one string into a
/// shell that runs it. `file` is for messages only. Everything that is wrong is added to
/// `diagnostics`; `spec` may be started only when none of them is an error. Never throws.
void resolve_app(ipc::AppSpec& spec, const std::string& file, FileContext& context,
                 ipc::Diagnostics& diagnostics);

} // namespace cluster::cli
