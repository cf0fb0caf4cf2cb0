// Commands that change what runs: stop, delete, reset, scale, sendSignal.
#include "cli/app_files.hpp"
#include "cli/commands.hpp"
#include "cli/process_view.hpp"
#include "cli/progress.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace cluster::cli {
namespace {

struct TargetOptions {
    Words targets;
    bool no_wait = false;
};

struct ScaleOptions {
    std::string name;
    std::string instances;
};

struct SignalOptions {
    std::string signal;
    Words targets;
};

constexpr const char* kTargetHelp = "Id, name, namespace, /regex/, 'all' or an ecosystem file";

/// Prints the answer of a request that changed something, then the table.
int finish(const ipc::RpcResult<json>& answer, Context& context)
{
    if (!answer) return show_table(context, context.fail(answer.error()));
    if (context.json_output) context.print_json(*answer);
    return show_table(context, kDone);
}

/// What a stop does not end.
void tell_of_schedules(const json& answer, Context& context)
{
    std::set<std::string> told;
    for (const json& process : answer.value("processes", json::array())) {
        const std::string pattern = member_text(process, "cron_restart");
        const std::string name = member_text(process, "name");
        if (pattern.empty() || !told.insert(name).second) continue;
        context.warn(fmt::format("{} will be started again by the clock (cron_restart {}): delete "
                                 "it, or restart it with --cron-restart 0",
                                 name, pattern));
    }
}

int run_on_targets(const char* method, const char* verb, const TargetOptions& options,
                   Context& context)
{
    const auto targets = expand_targets(options.targets, context);
    if (!targets) return targets.error();
    json params = {{"targets", *targets}, {"cwd", current_folder()}};
    if (options.no_wait) params["wait"] = false;
    const auto answer = call_with_progress(context, method, params, {.verb = verb});
    // A name that is not there changed nothing: no table.
    if (!answer && answer.error().code != ipc::kFailed) return context.fail(answer.error());
    if (answer && method == std::string_view{"stop"}) tell_of_schedules(*answer, context);
    return finish(answer, context);
}

int run_scale(const ScaleOptions& options, Context& context)
{
    const bool relative = options.instances.starts_with('+') || options.instances.starts_with('-');
    const auto number = ipc::parse_whole(options.instances);
    // A sign means "more" or "fewer" to the daemon, which knows how many run; a number has none.
    const json instances = number && !relative ? json(*number) : json(options.instances);
    const auto answer = call_with_progress(
        context, "scale", {{"name", options.name}, {"instances", instances}}, {.verb = "scaling"});
    if (!answer && answer.error().code != ipc::kFailed) return context.fail(answer.error());
    return finish(answer, context);
}

int run_send_signal(const SignalOptions& options, Context& context)
{
    const auto answer = context.session.call(
        "send_signal",
        {{"signal", options.signal}, {"targets", options.targets}, {"cwd", current_folder()}});
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    for (const json& process : answer->value("processes", json::array()))
        context.info(fmt::format("sent {} to [{}]({})", options.signal,
                                 member_text(process, "name"), member_text(process, "id")));
    return kDone;
}

void add_targets(CLI::App& parser, TargetOptions& options)
{
    parser.add_option("target", options.targets, kTargetHelp)->required();
}

void add_target_command(CLI::App& parser, Context& context, const char* method, const char* verb)
{
    auto options = std::make_shared<TargetOptions>();
    add_targets(parser, *options);
    parser.add_flag("--no-wait", options->no_wait, "Do not wait until it is done");
    parser.callback([options, method, verb, &context] {
        context.exit_code = run_on_targets(method, verb, *options, context);
    });
}

} // namespace

void add_stop(CLI::App& parser, Context& context, const Words&)
{
    add_target_command(parser, context, "stop", "stopping");
}

void add_delete(CLI::App& parser, Context& context, const Words&)
{
    add_target_command(parser, context, "delete", "deleting");
}

void add_reset(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<TargetOptions>();
    add_targets(parser, *options);
    parser.callback([options, &context] {
        context.exit_code = run_on_targets("reset", "resetting", *options, context);
    });
}

void add_scale(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<ScaleOptions>();
    parser.add_option("name", options->name, "Name of the app")->required();
    parser.add_option("instances", options->instances, "How many shall run: N, +N or -N")
        ->required();
    parser.callback([options, &context] { context.exit_code = run_scale(*options, context); });
}

void add_send_signal(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<SignalOptions>();
    parser.add_option("signal", options->signal, "SIGUSR2, USR2 or a number")->required();
    parser.add_option("target", options->targets, "Id, name, namespace, /regex/ or 'all'")
        ->required();
    parser.callback(
        [options, &context] { context.exit_code = run_send_signal(*options, context); });
}

} // namespace cluster::cli
