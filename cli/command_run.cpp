// run, and start --no-daemon: the apps in the foreground (foreground.hpp).
#include "cli/command_run.hpp"

#include "cli/commands.hpp"
#include "cli/foreground_lock.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace cluster::cli {
namespace {

struct RunOptions {
    StartOptions start;
    RunSettings settings;
};

/// One app's output is shown as it is, that of several says whose it is.
LogFormat format_for(const RunSettings& settings, const std::vector<ipc::AppSpec>& apps,
                     const Context& context)
{
    if (context.json_output) return LogFormat::json;
    if (settings.raw) return LogFormat::raw;
    if (settings.prefix) return LogFormat::prefixed;
    const bool one = std::ranges::all_of(
        apps, [&](const ipc::AppSpec& app) { return app.name == apps.front().name; });
    return one ? LogFormat::raw : LogFormat::prefixed;
}

} // namespace

void add_run_settings(CLI::App& parser, RunSettings& settings)
{
    const char* group = "In the foreground";
    parser.add_flag("--raw", settings.raw, "Output as the apps write it (default for one app)")
        ->group(group);
    parser
        .add_flag("--prefix", settings.prefix,
                  "Lines with the id and name of their process (default for several apps)")
        ->group(group);
    parser
        .add_option("--grace", settings.grace,
                    "How long all apps together may take to stop, in ms or '9s'; then SIGKILL")
        ->type_name("TIME")
        ->capture_default_str()
        ->group(group);
    parser.add_flag("--no-auto-exit", settings.no_auto_exit, "Stay when all apps have ended")
        ->group(group);
}

int run_in_foreground(const StartOptions& start, const RunSettings& settings,
                      const Words& app_arguments, Context& context)
{
    if (settings.raw && settings.prefix)
        return context.fail("--raw and --prefix exclude each other", kUsage);
    const auto grace = ipc::parse_duration(settings.grace);
    if (!grace) return context.fail("--grace: expected a time such as 9000 or '9s'", kUsage);
    ipc::UniqueFd signals = hold_signals();
    const HomeLock lock{context.session.home()};
    auto apps = Starter{start, app_arguments, context}.declared();
    if (!apps) return apps.error();
    for (ipc::AppSpec& app : *apps) { // stdout is the log; a file is one more where it is named
        if (app.out_file.empty()) app.out_file = "/dev/null";
        if (app.error_file.empty()) app.error_file = "/dev/null";
    }
    const ForegroundOptions options{.format = format_for(settings, *apps, context),
                                    .auto_exit = !settings.no_auto_exit,
                                    .grace = *grace};
    return Foreground{options, std::move(signals), context}.run(specifications(*apps));
}

void add_run(CLI::App& parser, Context& context, const Words& app_arguments)
{
    auto options = std::make_shared<RunOptions>();
    parser.add_option("target", options->start.targets,
                      "Ecosystem file, script, program, command line in quotes, or - for a "
                      "configuration on stdin");
    add_run_settings(parser, options->settings);
    options->start.app.add_to(parser);
    parser.add_option("--env", options->start.env_name,
                      "With an ecosystem file: use env_<name> too");
    parser.add_option("--only", options->start.only,
                      "With an ecosystem file: only these apps, 'a,b'");
    parser.callback([options, &app_arguments, &context] {
        context.exit_code =
            run_in_foreground(options->start, options->settings, app_arguments, context);
    });
}

} // namespace cluster::cli
