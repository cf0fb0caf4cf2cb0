// Commands about ecosystem files: validate, schema.
#include "cli/app_files.hpp"
#include "cli/commands.hpp"
#include "ipc/wire/schema.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <memory>

namespace cluster::cli {
namespace {

struct ValidateOptions {
    std::string file;
    std::string env_name;
};

int run_validate(const ValidateOptions& options, Context& context)
{
    FileContext files = file_context(context);
    const ipc::Ecosystem ecosystem =
        load_apps({.path = options.file, .env_name = options.env_name}, files);
    const bool valid = !ipc::has_errors(ecosystem.diagnostics);
    if (!context.json_output) {
        print_diagnostics(ecosystem.diagnostics, context);
        if (valid)
            context.info(fmt::format("{} is valid: {} app{}", escape_controls(options.file),
                                     ecosystem.apps.size(), ecosystem.apps.size() == 1 ? "" : "s"));
        return valid ? kDone : kFailed;
    }
    json report = {{"file", options.file},
                   {"valid", valid},
                   {"apps", json::array()},
                   {"errors", json::array()},
                   {"warnings", json::array()}};
    for (const ipc::AppSpec& app : ecosystem.apps)
        report["apps"].push_back(app.name);
    for (const ipc::Diagnostic& diagnostic : ecosystem.diagnostics)
        report[diagnostic.severity == ipc::Severity::error ? "errors" : "warnings"].push_back(
            diagnostic.text());
    context.print_json(report);
    return valid ? kDone : kFailed;
}

} // namespace

void add_validate(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<ValidateOptions>();
    parser.add_option("file", options->file, "Ecosystem file, or - for stdin")->required();
    parser.add_option("--env", options->env_name, "Check it with env_<name>");
    parser.callback([options, &context] { context.exit_code = run_validate(*options, context); });
}

void add_schema(CLI::App& parser, Context& context, const Words&)
{
    auto markdown = std::make_shared<bool>(false);
    parser.add_flag("--markdown", *markdown, "Print docs/configuration.md instead");
    parser.callback([markdown, &context] {
        context.out.write(*markdown ? ipc::configuration_markdown() : ipc::ecosystem_schema());
    });
}

} // namespace cluster::cli
