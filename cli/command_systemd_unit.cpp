// systemd-unit: a unit that runs the apps of one file, without a daemon for everybody.
#include "cli/app_files.hpp"
#include "cli/commands.hpp"
#include "cli/paths.hpp"
#include "cli/service_unit.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

namespace cluster::cli {
namespace {

struct UnitOptions {
    std::string file;
    std::string env_name;
    std::string service_name;
    std::string user;
    bool of_user = false;
};

/// Of the file; one that is called ecosystem has its name from its folder.
std::string default_name(const std::filesystem::path& file)
{
    const std::string stem = file.filename().string().substr(0, file.filename().string().find('.'));
    if (stem != "ecosystem" && !stem.empty()) return as_unit_name(stem);
    const std::string folder = file.parent_path().filename().string();
    return as_unit_name(folder.empty() ? "ecosystem" : folder);
}

/// The slowest app may take all of its time, and its dependents before it.
int stop_seconds(const std::vector<ipc::AppSpec>& apps)
{
    constexpr int kLeast = 90;
    ipc::milliseconds all{0};
    for (const ipc::AppSpec& app : apps)
        all += app.kill_timeout;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(all).count();
    return static_cast<int>(std::max<std::int64_t>(kLeast, seconds + 30));
}

int print_unit(const UnitOptions& options, Context& context)
{
    FileContext files = file_context(context);
    const ipc::Ecosystem ecosystem =
        load_apps({.path = options.file, .env_name = options.env_name}, files);
    print_diagnostics(ecosystem.diagnostics, context);
    if (ipc::has_errors(ecosystem.diagnostics)) return kFailed;
    const ipc::Environment environment = current_environment();
    const std::filesystem::path file = absolute_path(options.file, current_folder(), environment);
    const auto name =
        service_name(options.service_name.empty() ? default_name(file) : options.service_name);
    if (!name)
        return context.fail(fmt::format("'{}' cannot be the name of a service: letters, digits and "
                                        ":-_. are allowed",
                                        escape_controls(options.service_name)),
                            kUsage);
    const auto path = environment.find("PATH");
    FileUnit unit{.scope = options.of_user ? Scope::user : Scope::system,
                  .name = *name,
                  .user = options.user,
                  .path = path == environment.end() ? service_path("") : service_path(path->second),
                  .clusterctl = own_program(),
                  .file = file.string(),
                  .folder = file.parent_path().string(),
                  .env_name = options.env_name,
                  .apps = {},
                  .stop_seconds = stop_seconds(ecosystem.apps)};
    for (const ipc::AppSpec& app : ecosystem.apps)
        unit.apps.push_back(app.name);
    const std::string text = file_unit_text(unit);
    if (context.json_output)
        context.print_json({{"unit", *name}, {"text", text}, {"apps", unit.apps}});
    else
        context.out.write(text);
    return kDone;
}

} // namespace

void add_systemd_unit(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<UnitOptions>();
    parser.add_option("file", options->file, "Ecosystem file")->required();
    parser.add_option("--env", options->env_name, "Run it with env_<name>");
    parser.add_option("--service-name", options->service_name,
                      "Name of the unit; by default the file's, or its folder's");
    auto* of_user =
        parser.add_flag("--of-user", options->of_user, "For your own systemd (systemctl --user)");
    parser.add_option("-u,--user", options->user, "User that it runs as; by default root")
        ->excludes(of_user);
    parser.callback([options, &context] { context.exit_code = print_unit(*options, context); });
}

} // namespace cluster::cli
