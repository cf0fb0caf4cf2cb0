// What `run` and `start --no-daemon` share.
#pragma once

#include "cli/foreground.hpp"
#include "cli/starter.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cluster::cli {

struct RunSettings {
    bool raw = false;
    bool prefix = false;
    bool no_auto_exit = false;
    std::string grace = "9s"; ///< docker stop kills after 10 s
};

/// `settings` outlives the parser's work.
void add_run_settings(CLI::App& parser, RunSettings& settings);

/// Stays until the apps have ended. Returns the exit code.
int run_in_foreground(const StartOptions& start, const RunSettings& settings,
                      const std::vector<std::string>& app_arguments, Context& context);

} // namespace cluster::cli
