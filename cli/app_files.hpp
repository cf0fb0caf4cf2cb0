// From what a user names on the command line to specifications that the daemon takes: ecosystem
// files and scripts go through the same parser and resolver, and their findings are printed alike.
#pragma once

#include "cli/context.hpp"
#include "cli/ecosystem_files.hpp"

#include <expected>
#include <string>
#include <vector>

namespace cluster::cli {

/// What file reading depends on, from this process.
[[nodiscard]] FileContext file_context(Context& context);

/// Prints warnings and errors, each on its line. With --json errors become one error object.
void print_diagnostics(const ipc::Diagnostics& diagnostics, Context& context);

/// Parses a file and resolves each of its apps; `attributes` from the command line fill in what the
/// file leaves open, `only` (names, separated by commas or blanks; "" all) chooses.
struct FileRequest {
    std::string path;
    std::string env_name{};
    std::string only{};
    json attributes = json::object();
};
[[nodiscard]] ipc::Ecosystem load_apps(const FileRequest& request, FileContext& files);

/// One app from its attributes (`script` among them), resolved.
[[nodiscard]] ipc::Ecosystem make_app(const json& attributes, FileContext& files);

/// Targets to send to the daemon: an ecosystem file, or "-" for one on stdin, stands for the names
/// in it. Errors: an exit code; what was wrong has been printed.
[[nodiscard]] std::expected<std::vector<std::string>, int>
expand_targets(const std::vector<std::string>& words, Context& context);

/// The specifications as an array for the daemon.
[[nodiscard]] json specifications(const std::vector<ipc::AppSpec>& apps);

} // namespace cluster::cli
