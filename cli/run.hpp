// From argv to an exit code.
#pragma once

#include "cli/context.hpp"

#include <string>
#include <vector>

namespace cluster::cli {

/// Runs the command line (without the program's name). Returns the exit code: 0 done, 1 failed,
/// 2 usage, 3 daemon not reachable. Throws nothing that a user can cause.
int run(const std::vector<std::string>& words, Context& context);

} // namespace cluster::cli
