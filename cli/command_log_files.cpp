// Commands about the files of the logs: flush, reloadLogs.
#include "cli/app_files.hpp"
#include "cli/commands.hpp"
#include "cli/process_view.hpp"
#include "cli/text.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

namespace cluster::cli {
namespace {

struct FlushOptions {
    Words targets;
    bool rotated = false;
};

std::string flushed_text(const json& file)
{
    const auto bytes = std::max<std::int64_t>(member_number(file, "bytes"), 0);
    std::string text = fmt::format("emptied {} ({})", member_text(file, "path"),
                                   format_bytes(static_cast<std::uint64_t>(bytes)));
    if (const auto old = member_number(file, "rotated"); old > 0)
        text += fmt::format(", removed {} rotated file{}", old, old == 1 ? "" : "s");
    return text;
}

int run_flush(const FlushOptions& options, Context& context)
{
    json params = {{"rotated", options.rotated}, {"cwd", current_folder()}};
    if (!options.targets.empty()) {
        const auto targets = expand_targets(options.targets, context);
        if (!targets) return targets.error();
        params["targets"] = *targets;
    }
    const auto answer = context.session.call("logs.flush", params);
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    for (const json& file : answer->value("files", json::array()))
        context.info(flushed_text(file));
    int code = kDone;
    for (const json& failure : answer->value("failures", json::array()))
        code = context.fail(fmt::format("cannot empty {}: {}", member_text(failure, "path"),
                                        member_text(failure, "reason")));
    return code;
}

int run_reload_logs(Context& context)
{
    const auto answer = context.session.call("logs.reopen", json::object());
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    const std::size_t count = answer->value("files", json::array()).size();
    context.info(fmt::format("opened {} log file{} again", count, count == 1 ? "" : "s"));
    return kDone;
}

} // namespace

void add_flush(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<FlushOptions>();
    parser.add_option("target", options->targets,
                      "Id, name, namespace, /regex/ or an ecosystem file; by default all, and the "
                      "daemon's own log");
    parser.add_flag("--rotated", options->rotated, "Remove the files that were set aside, too");
    parser.callback([options, &context] { context.exit_code = run_flush(*options, context); });
}

void add_reload_logs(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_reload_logs(context); });
}

} // namespace cluster::cli
