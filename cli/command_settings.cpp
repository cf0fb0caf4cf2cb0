// set, get, unset: what is set for the daemon as a whole.
#include "cli/commands.hpp"
#include "cli/process_view.hpp"
#include "cli/settings_view.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <memory>
#include <string>

namespace cluster::cli {
namespace {

int run_get(const std::string& name, Context& context)
{
    const auto answer = context.session.call("settings", json::object());
    if (!answer) return context.fail(answer.error());
    if (name.empty()) {
        if (context.json_output)
            context.print_json(*answer);
        else
            context.out.write(settings_text(*answer, context.out.style()));
        for (const std::string& fault : faults_in(*answer))
            context.warn(fault);
        return kDone;
    }
    const json setting = setting_in(*answer, name);
    if (setting.is_null()) return context.fail(no_setting(*answer, name));
    const std::string value = member_text(setting, "value");
    if (context.json_output)
        context.print_json(value);
    else if (!value.empty())
        context.out.write(escape_controls(value) + '\n');
    return value.empty() ? kFailed : kDone; // PM2: what is not set is a failure without a word
}

/// The setting holds; what it is about may still not work.
int tell(const json& answer, const std::string& name, const std::string& done, Context& context)
{
    if (context.json_output) context.print_json(answer);
    context.info(done);
    const json setting = setting_in(answer, name);
    if (member_text(setting, "source") == "environment")
        context.warn(fmt::format("the daemon was started with {}, which wins",
                                 member_text(setting, "variable")));
    for (const std::string& fault : faults_in(answer))
        context.warn(fault);
    if (!name.starts_with("metrics.")) return kDone;
    const json metrics = answer.value("metrics", json::object());
    if (const std::string fault = member_text(metrics, "fault"); !fault.empty())
        return context.fail("it is set, but: " + fault);
    if (const std::string line = metrics_text(answer); !line.empty()) context.info(line);
    return kDone;
}

int run_set(const std::string& name, const std::string& value, Context& context)
{
    const auto answer = context.session.call("settings.set", {{"name", name}, {"value", value}});
    if (!answer) return context.fail(answer.error());
    return tell(*answer, name, "[v] " + name + " is set", context);
}

int run_unset(const std::string& name, Context& context)
{
    const auto answer = context.session.call("settings.unset", {{"name", name}});
    if (!answer) return context.fail(answer.error());
    return tell(*answer, name,
                name == "all" ? "[v] All settings have their defaults"
                              : "[v] " + name + " has its default",
                context);
}

} // namespace

void add_get(CLI::App& parser, Context& context, const Words&)
{
    auto name = std::make_shared<std::string>();
    parser.add_option("key", *name,
                      "The setting, such as metrics.listen; without it all are shown");
    parser.callback(
        [name, &context] { context.exit_code = run_get(setting_name(*name), context); });
}

void add_set(CLI::App& parser, Context& context, const Words&)
{
    auto name = std::make_shared<std::string>();
    auto value = std::make_shared<std::string>();
    parser.add_option("key", *name, "The setting; `clusterctl get` lists them")->required();
    parser.add_option("value", *value, "Holds at once and for every later daemon")->required();
    parser.callback([name, value, &context] {
        context.exit_code = run_set(setting_name(*name), *value, context);
    });
}

void add_unset(CLI::App& parser, Context& context, const Words&)
{
    auto name = std::make_shared<std::string>();
    parser.add_option("key", *name, "The setting that gets its default back, or all")->required();
    parser.callback(
        [name, &context] { context.exit_code = run_unset(setting_name(*name), context); });
}

} // namespace cluster::cli
