// start, restart and what PM2 has beside them for ecosystem files.
#include "cli/command_run.hpp"
#include "cli/commands.hpp"
#include "cli/starter.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <memory>

namespace cluster::cli {
namespace {

/// `start`, which with --no-daemon is `run`.
struct StartCommand {
    StartOptions start;
    bool no_daemon = false;
    RunSettings settings;
};

struct RestartOptions {
    StartOptions start;
    bool rolling = false;
};

int run_start(const StartCommand& options, const Words& app_arguments, Context& context)
{
    if (options.no_daemon)
        return run_in_foreground(options.start, options.settings, app_arguments, context);
    return Starter{options.start, app_arguments, context}.run_start();
}

int run_restart(const RestartOptions& options, const Words& app_arguments, Context& context)
{
    return Starter{options.start, app_arguments, context}.run_again(options.rolling ? "reload"
                                                                                    : "restart");
}

/// For the commands that take files only (PM2).
int run_files(const StartOptions& options, const char* method, const Words& app_arguments,
              Context& context)
{
    for (const std::string& target : options.targets)
        if (!is_ecosystem_file(target))
            return context.fail(
                fmt::format("an ecosystem file must be given, got '{}'", escape_controls(target)),
                kUsage);
    return Starter{options, app_arguments, context}.run_again(method);
}

void add_for_files(CLI::App& parser, Context& context, const Words& app_arguments,
                   const char* method)
{
    auto options = std::make_shared<StartOptions>();
    parser.add_option("file", options->targets, "Ecosystem file, or - for one on stdin")
        ->required();
    add_start_options(parser, *options);
    parser.callback([options, method, &app_arguments, &context] {
        context.exit_code = run_files(*options, method, app_arguments, context);
    });
}

} // namespace

void add_start(CLI::App& parser, Context& context, const Words& app_arguments)
{
    auto options = std::make_shared<StartCommand>();
    parser.add_option(
        "target", options->start.targets,
        "Ecosystem file, script, program, command line in quotes, name, namespace, id, "
        "'all', or - for a configuration on stdin");
    parser.add_flag("-f,--force", options->start.force,
                    "Start a script that is managed already again");
    parser.add_flag("--no-daemon", options->no_daemon,
                    "Stay in the foreground and end with the apps, as `run` does");
    add_run_settings(parser, options->settings);
    add_start_options(parser, options->start);
    parser.callback([options, &app_arguments, &context] {
        context.exit_code = run_start(*options, app_arguments, context);
    });
}

void add_restart(CLI::App& parser, Context& context, const Words& app_arguments)
{
    auto options = std::make_shared<RestartOptions>();
    parser
        .add_option("target", options->start.targets,
                    "Id, name, namespace, /regex/, 'all' or an ecosystem file")
        ->required();
    add_start_options(parser, options->start);
    parser.add_flag("--rolling", options->rolling, "One after the other, as `reload` does");
    parser.callback([options, &app_arguments, &context] {
        context.exit_code = run_restart(*options, app_arguments, context);
    });
}

void add_start_or_restart(CLI::App& parser, Context& context, const Words& app_arguments)
{
    add_for_files(parser, context, app_arguments, "restart");
}

void add_start_or_reload(CLI::App& parser, Context& context, const Words& app_arguments)
{
    add_for_files(parser, context, app_arguments, "reload");
}

} // namespace cluster::cli
