#include "cli/run.hpp"

#include "cli/app_options.hpp"
#include "cli/commands.hpp"
#include "ipc/base/version.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace cluster::cli {
namespace {

constexpr std::string_view kUsageHead = "usage: clusterctl <command> [options]\n"
                                        "\n"
                                        "Runs, watches and controls processes.\n";

constexpr std::string_view kUsageFoot =
    "\n"
    "options of all commands:\n"
    "  --json        print data as JSON\n"
    "  --no-color    no colours (also: NO_COLOR=1)\n"
    "  -s, --silent  print errors only\n"
    "  --no-autorestore\n"
    "                a daemon that this command starts brings nothing back and ends what an\n"
    "                earlier one left running (also: CLUSTER_NO_AUTORESTORE=1)\n"
    "  -h, --help    help of one command\n"
    "\n"
    "exit codes: 0 done, 1 failed, 2 usage, 3 daemon not reachable\n";

std::string overview()
{
    std::string text{kUsageHead};
    text += "\ncommands:\n";
    for (const Command& command : all_commands()) {
        if (command.hidden) continue;
        std::string names{command.name};
        for (const auto alias : command.aliases)
            names += fmt::format(", {}", alias);
        text += fmt::format("  {:<30} {}\n", names, command.brief);
    }
    text += kUsageFoot;
    return text;
}

int unknown_command(const std::string& word, Context& context)
{
    std::vector<std::string_view> names;
    for (const Command& command : all_commands()) {
        names.push_back(command.name);
        names.insert(names.end(), command.aliases.begin(), command.aliases.end());
    }
    const std::string_view near = ipc::nearest(word, names);
    return context.fail(fmt::format("unknown command '{}'{}; `clusterctl help` lists the commands",
                                    escape_controls(word),
                                    near.empty() ? "" : fmt::format(", did you mean '{}'?", near)),
                        kUsage);
}

void add_global_options(CLI::App& parser, Context& context)
{
    parser.add_flag("--json", context.json_output, "Print data as JSON");
    parser.add_flag_callback(
        "--no-color",
        [&context] {
            context.out.disable_colour();
            context.err.disable_colour();
        },
        "No colours");
    parser.add_flag("-s,--silent", context.silent, "Print errors only");
    parser.add_flag_callback(
        "--no-autorestore", [&context] { context.session.begin_empty(); },
        "When this starts the daemon: bring nothing back, end what an earlier one left running; "
        "`resurrect` still finds it");
}

/// Parses the arguments and runs the command from the parser's callback.
int parse_and_run(const Command& command, const CommandLine& line, Context& context)
{
    CLI::App parser{std::string{command.brief}, fmt::format("clusterctl {}", command.name)};
    parser.footer(fmt::format("Examples:\n{}", command.example));
    command.configure(parser, context, line.app_arguments);
    add_global_options(parser, context);
    try {
        std::vector<std::string> reversed(line.arguments.rbegin(), line.arguments.rend());
        parser.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
        context.out.write(parser.help());
        return kDone;
    } catch (const CLI::ParseError& error) {
        const bool ours_only =
            dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && command.takes_app_arguments;
        return context.fail(
            fmt::format(
                "{}: {}{}; see `clusterctl {} --help`", command.name, escape_controls(error.what()),
                ours_only ? " (the program's own arguments go behind --)" : "", command.name),
            kUsage);
    } catch (const json::exception& error) {
        // Members of an answer that have another type than docs/protocol.md says.
        return context.fail(
            fmt::format("the daemon's answer was not understood: {}", error.what()));
    }
    return context.exit_code;
}

int run_help(const CommandLine& line, Context& context)
{
    if (line.arguments.empty() || line.arguments[0].starts_with('-')) {
        context.out.write(overview());
        return kDone;
    }
    const Command* command = find_command(line.arguments[0]);
    if (command == nullptr) return unknown_command(line.arguments[0], context);
    return parse_and_run(*command, {std::string{command->name}, {"--help"}, {}}, context);
}

int run_without_command(const CommandLine& line, Context& context)
{
    const auto given = [&](std::initializer_list<std::string_view> options) {
        return std::ranges::any_of(line.arguments, [&](const std::string& word) {
            return std::ranges::find(options, word) != options.end();
        });
    };
    if (given({"--version", "-V", "-v"})) {
        context.out.write(std::string{ipc::version()} + "\n");
        return kDone;
    }
    if (given({"--help", "-h"})) return run_help({}, context);
    context.err.write(overview());
    return kUsage;
}

/// "clusterctl stop api". Not what stands behind "--" or follows `set`: there may be secrets in it.
std::string shown_command(const CommandLine& line)
{
    constexpr std::size_t kLongest = 80;
    std::string shown = "clusterctl " + line.command;
    if (line.command == "set") return shown;
    for (const std::string& argument : line.arguments)
        shown += " " + argument;
    if (shown.size() > kLongest) shown = shown.substr(0, kLongest) + "...";
    return shown;
}

} // namespace

int run(const std::vector<std::string>& words, Context& context)
{
    CommandLine line = cut_command_line(words);
    // So that errors of the command line itself are JSON too.
    context.json_output = std::ranges::find(line.arguments, "--json") != line.arguments.end();
    if (line.command.empty()) return run_without_command(line, context);
    if (line.command == "help") return run_help(line, context);
    const Command* command = find_command(line.command);
    if (command == nullptr) return unknown_command(line.command, context);

    context.session.introduce(shown_command(line));
    if (const std::string option = unsupported_option(line.arguments); !option.empty())
        return context.fail(
            fmt::format("{}: the option {} is not supported yet", command->name, option), kUsage);
    if (!line.app_arguments.empty() && !command->takes_app_arguments) {
        // No option stands behind "--": `clusterctl stop -- -x` means the app "-x".
        line.arguments.emplace_back("--");
        line.arguments.insert(line.arguments.end(), line.app_arguments.begin(),
                              line.app_arguments.end());
    }
    return parse_and_run(*command, line, context);
}

} // namespace cluster::cli
