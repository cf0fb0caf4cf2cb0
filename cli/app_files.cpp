#include "cli/app_files.hpp"

#include "cli/app_options.hpp"
#include "cli/resolve_app.hpp"
#include "ipc/wire/attributes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

/// Attributes that the command line may give to apps of a file which do not have them (PM2).
constexpr std::array<std::string_view, 4> kFilledIn{"instances", "uid", "gid", "namespace"};

/// Names in "a,b c".
std::vector<std::string> split_names(std::string_view text)
{
    std::vector<std::string> names;
    while (!text.empty()) {
        const auto end = text.find_first_of(", ");
        if (end != 0) names.emplace_back(text.substr(0, end));
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    return names;
}

void choose(ipc::Ecosystem& ecosystem, const FileRequest& request)
{
    const std::vector<std::string> wanted = split_names(request.only);
    if (wanted.empty()) return;
    for (const std::string& name : wanted) {
        if (std::ranges::find(ecosystem.apps, name, &ipc::AppSpec::name) != ecosystem.apps.end())
            continue;
        ecosystem.diagnostics.push_back(
            {.file = request.path, .message = fmt::format("no app has the name '{}'", name)});
    }
    std::erase_if(ecosystem.apps, [&](const ipc::AppSpec& app) {
        return std::ranges::find(wanted, app.name) == wanted.end();
    });
}

/// A specification writes only what differs from the default, so what it lacks is open.
void fill_in(ipc::Ecosystem& ecosystem, const FileRequest& request)
{
    for (const auto& [name, value] : request.attributes.items())
        if (std::ranges::find(kFilledIn, name) == kFilledIn.end())
            ecosystem.diagnostics.push_back(
                {.severity = ipc::Severity::warning,
                 .file = request.path,
                 .message =
                     fmt::format("{} has no effect with an ecosystem file", option_of(name))});
    for (std::size_t index = 0; index < ecosystem.apps.size(); ++index) {
        json app = ipc::to_json(ecosystem.apps[index]);
        bool changed = false;
        for (const std::string_view name : kFilledIn) {
            const auto given = request.attributes.find(name);
            if (given == request.attributes.end() || app.contains(name)) continue;
            app[std::string{name}] = *given;
            changed = true;
        }
        if (!changed) continue;
        const ipc::Where where{request.path, index, {}};
        if (auto filled = ipc::parse_app(app, where, ecosystem.diagnostics))
            ecosystem.apps[index] = std::move(*filled);
    }
}

/// Names of the apps of a file, each once; their scripts need not be there any more.
std::expected<std::vector<std::string>, int> names_in_file(const std::string& path,
                                                           Context& context)
{
    FileContext files = file_context(context);
    const ipc::Ecosystem ecosystem = load_ecosystem(path, {}, files);
    std::vector<std::string> names;
    for (const ipc::AppSpec& app : ecosystem.apps)
        if (std::ranges::find(names, app.name) == names.end()) names.push_back(app.name);
    if (!ipc::has_errors(ecosystem.diagnostics)) return names;
    print_diagnostics(ecosystem.diagnostics, context);
    return std::unexpected(kFailed);
}

} // namespace

FileContext file_context(Context& context)
{
    return {.system = context.system,
            .clock = context.clock,
            .cwd = current_folder(),
            .environment = current_environment(),
            .stdin_fd = STDIN_FILENO};
}

void print_diagnostics(const ipc::Diagnostics& diagnostics, Context& context)
{
    json errors = json::array();
    for (const ipc::Diagnostic& diagnostic : diagnostics) {
        const bool is_error = diagnostic.severity == ipc::Severity::error;
        if (is_error && context.json_output)
            errors.push_back(diagnostic.text());
        else if (is_error)
            context.error(escape_controls(diagnostic.text()));
        else if (!context.silent)
            context.warn(escape_controls(diagnostic.text()));
    }
    if (errors.empty()) return;
    const std::string first = errors[0].get<std::string>();
    context.fail(ipc::RpcError{ipc::kInvalidParams, first, {{"faults", std::move(errors)}}});
}

ipc::Ecosystem load_apps(const FileRequest& request, FileContext& files)
{
    ipc::Ecosystem ecosystem = load_ecosystem(request.path, request.env_name, files);
    if (!ipc::has_errors(ecosystem.diagnostics)) {
        choose(ecosystem, request);
        fill_in(ecosystem, request);
    }
    // Also after an error: a missing script of another app is told at once, not the next time.
    for (ipc::AppSpec& app : ecosystem.apps)
        resolve_app(app, request.path, files, ecosystem.diagnostics);
    return ecosystem;
}

ipc::Ecosystem make_app(const json& attributes, FileContext& files)
{
    ipc::Ecosystem made;
    auto app = ipc::parse_app(attributes, {}, made.diagnostics);
    if (!app) return made;
    resolve_app(*app, {}, files, made.diagnostics);
    made.apps.push_back(std::move(*app));
    return made;
}

std::expected<std::vector<std::string>, int> expand_targets(const std::vector<std::string>& words,
                                                            Context& context)
{
    std::vector<std::string> targets;
    for (const std::string& word : words) {
        if (!is_ecosystem_file(word)) {
            targets.push_back(word);
            continue;
        }
        const auto names = names_in_file(word, context);
        if (!names) return std::unexpected(names.error());
        targets.insert(targets.end(), names->begin(), names->end());
    }
    return targets;
}

json specifications(const std::vector<ipc::AppSpec>& apps)
{
    json list = json::array();
    for (const ipc::AppSpec& app : apps)
        list.push_back(ipc::to_json(app));
    return list;
}

} // namespace cluster::cli
