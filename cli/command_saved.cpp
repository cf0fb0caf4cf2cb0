// The list that users save themselves: save, cleardump, resurrect. What runs is durable without it.
#include "cli/commands.hpp"
#include "cli/process_view.hpp"
#include "cli/progress.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace cluster::cli {
namespace {

/// PM2 takes the variable, too.
bool force_is_set()
{
    const char* force = std::getenv("FORCE");
    return force != nullptr && *force != '\0';
}

int run_save(bool force, Context& context)
{
    context.info("Saving current process list...");
    const auto answer = context.session.call("save", {{"force", force}});
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    if (answer->value("saved", json(false)) == true) {
        context.info(fmt::format("Successfully saved in {}", member_text(*answer, "path")));
    } else if (!context.json_output && !context.silent) {
        context.warn("No process is managed, skipping save...");
        context.warn("To force saving use: clusterctl save --force");
    }
    return kDone;
}

int run_cleardump(Context& context)
{
    const auto answer = context.session.call("cleardump", json::object());
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    context.info(fmt::format("Successfully created {}", member_text(*answer, "path")));
    return kDone;
}

int run_resurrect(Context& context)
{
    context.info("Resurrecting");
    const auto answer =
        call_with_progress(context, "resurrect", json::object(), {.verb = "resurrecting"});
    if (!answer && answer.error().code != ipc::kFailed) return context.fail(answer.error());
    if (!answer) return show_table(context, context.fail(answer.error()));
    if (context.json_output) context.print_json(*answer);
    for (const json& process : answer->value("processes", json::array()))
        context.info(fmt::format("Process [{}]({}) restored", member_text(process, "name"),
                                 member_text(process, "id")));
    const auto source = answer->find("source");
    if (source != answer->end() && source->is_null() && !context.json_output)
        context.error("No processes saved; there is no dump file");
    return show_table(context, kDone);
}

} // namespace

void add_save(CLI::App& parser, Context& context, const Words&)
{
    auto force = std::make_shared<bool>(false);
    parser.add_flag("-f,--force", *force, "Save an empty list too (also: FORCE=1)");
    parser.callback(
        [force, &context] { context.exit_code = run_save(*force || force_is_set(), context); });
}

void add_cleardump(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_cleardump(context); });
}

void add_resurrect(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_resurrect(context); });
}

} // namespace cluster::cli
