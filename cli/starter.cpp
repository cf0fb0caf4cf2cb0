#include "cli/starter.hpp"

#include "cli/commands.hpp"
#include "cli/paths.hpp"
#include "ipc/wire/attributes.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace cluster::cli {
namespace {

/// What `start` without a target takes, in this order.
constexpr std::array kDefaultFiles{"ecosystem.config.js",  "ecosystem.config.cjs",
                                   "ecosystem.config.mjs", "ecosystem.json",
                                   "ecosystem.yaml",       "ecosystem.yml"};

} // namespace

void add_start_options(CLI::App& parser, StartOptions& options)
{
    options.app.add_to(parser);
    parser.add_option("--env", options.env_name, "With an ecosystem file: use env_<name> too");
    parser.add_option("--only", options.only, "With an ecosystem file: only these apps, 'a,b'");
    parser.add_flag("-a,--update-env", options.update_env,
                    "Give what is managed already the environment of this command");
    parser.add_flag("--no-wait", options.no_wait, "Do not wait until each process is online");
}

Starter::Starter(const StartOptions& options, const Words& app_arguments, Context& context)
    : options_{options}, app_arguments_{app_arguments}, context_{context},
      attributes_(options.app.attributes())
{
}

void Starter::observe(std::function<void(const json& params)> observer)
{
    observer_ = std::move(observer);
}

int Starter::run_start()
{
    const Words targets = targets_or_default();
    if (targets.empty()) return kFailed;
    int code = kDone;
    for (const std::string& target : targets) {
        code = start_target(target);
        if (code != kDone) break;
    }
    return finish(code);
}

std::expected<std::vector<ipc::AppSpec>, int> Starter::declared()
{
    std::vector<ipc::AppSpec> apps;
    const Words targets = targets_or_default();
    if (targets.empty()) return std::unexpected(kFailed);
    for (const std::string& target : targets) {
        ipc::Ecosystem ecosystem =
            is_ecosystem_file(target) ? load_file(target) : load_script(target);
        print_diagnostics(ecosystem.diagnostics, context_);
        if (ipc::has_errors(ecosystem.diagnostics)) return std::unexpected(kFailed);
        std::ranges::move(ecosystem.apps, std::back_inserter(apps));
    }
    return apps;
}

/// None: that was told.
Words Starter::targets_or_default()
{
    Words targets = options_.targets;
    if (targets.empty()) targets = default_file();
    if (targets.empty())
        context_.fail("nothing to start: no target was given and this folder has no "
                      "ecosystem.config.js and no ecosystem.json");
    return targets;
}

int Starter::run_again(const std::string& method)
{
    again_ = method;
    Words names;
    int code = kDone;
    for (const std::string& target : options_.targets) {
        if (is_ecosystem_file(target))
            code = code == kDone ? start_file(target) : code;
        else
            names.push_back(target);
    }
    if (code == kDone && !names.empty()) code = restart(names);
    return finish(code);
}

Words Starter::default_file()
{
    for (const char* name : kDefaultFiles)
        if (context_.system.open(name, O_RDONLY, 0)) return {name};
    return {};
}

/// PM2's order: a file; a name or namespace that is managed; an id; a new process.
int Starter::start_target(const std::string& target)
{
    if (is_ecosystem_file(target)) return start_file(target);
    const bool is_id = ipc::parse_whole(target).has_value();
    if (is_id || target == "all") return restart({target});
    if (target.find_first_of("/. ") == std::string::npos) {
        const auto known = context_.session.call("list", {{"targets", json::array({target})}});
        if (known) return restart({target});
        if (known.error().code != ipc::kNotFound) return context_.fail(known.error());
    }
    return start_script(target);
}

ipc::Ecosystem Starter::load_file(const std::string& path)
{
    return load_apps({.path = path,
                      .env_name = options_.env_name,
                      .only = options_.only,
                      .attributes = attributes_},
                     files());
}

int Starter::start_file(const std::string& path)
{
    const ipc::Ecosystem ecosystem = load_file(path);
    return again_ == "reload" ? reload_apps(ecosystem) : start_apps(ecosystem, "restart");
}

int Starter::reload_apps(const ipc::Ecosystem& ecosystem)
{
    print_diagnostics(ecosystem.diagnostics, context_);
    if (ipc::has_errors(ecosystem.diagnostics)) return kFailed;
    return ask("reload",
               {{"apps", specifications(ecosystem.apps)}, {"environment", files().environment}});
}

ipc::Ecosystem Starter::load_script(const std::string& script)
{
    json app = attributes_;
    app["script"] = script;
    // A file with blanks in its path is no command line, so its first word is no name.
    const std::string cwd =
        absolute_path(app.value("cwd", "."), current_folder(), files().environment);
    if (file_kind(absolute_path(script, cwd, files().environment)) == FileKind::regular)
        app.emplace("name", ipc::name_of_file(script));
    if (!app_arguments_.empty()) app["args"] = app_arguments_;
    return make_app(app, files());
}

int Starter::start_script(const std::string& script)
{
    return start_apps(load_script(script), options_.force ? "new" : "error");
}

int Starter::start_apps(const ipc::Ecosystem& ecosystem, const char* existing)
{
    print_diagnostics(ecosystem.diagnostics, context_);
    if (ipc::has_errors(ecosystem.diagnostics)) return kFailed;
    return ask("start", {{"apps", specifications(ecosystem.apps)},
                         {"environment", files().environment},
                         {"existing", existing}});
}

int Starter::restart(const Words& targets)
{
    if (!options_.env_name.empty()) return context_.fail("--env works with an ecosystem file only");
    json params = {{"targets", targets}, {"cwd", current_folder()}};
    if (options_.update_env) params["environment"] = files().environment;
    if (!attributes_.empty()) params["attributes"] = absolute_paths(attributes_);
    return ask(again_, std::move(params));
}

/// The daemon knows nothing of our working directory.
json Starter::absolute_paths(json attributes)
{
    for (const char* name : {"cwd", "out_file", "error_file", "log_file", "pid_file"}) {
        const auto path = attributes.find(name);
        if (path != attributes.end() && path->is_string())
            *path = absolute_path(path->get<std::string>(), current_folder(), files().environment);
    }
    return attributes;
}

Following Starter::following(const std::string& method) const
{
    Following following{.verb = method + "ing", .on_progress = observer_};
    if (method == "reload")
        following.interrupted = fmt::format(
            "Interrupted; the reload goes on. `clusterctl reload {} --abort` rolls it back, "
            "`clusterctl list` shows how far it is.",
            escape_controls(fmt::format("{}", fmt::join(options_.targets, " "))));
    return following;
}

int Starter::ask(const std::string& method, json params)
{
    if (options_.no_wait) params["wait"] = false;
    if (options_.no_queue) params["queue"] = false;
    auto answer = call_with_progress(context_, method, params, following(method));
    changed_ = changed_ || answer || answer.error().code == ipc::kFailed;
    if (!answer) {
        result_ = {{"error",
                    {{"code", answer.error().code},
                     {"message", answer.error().message},
                     {"data", answer.error().data}}}};
        return context_.fail(answer.error());
    }
    for (json& process : (*answer)["processes"])
        result_["processes"].push_back(std::move(process));
    return kDone;
}

int Starter::finish(int code)
{
    if (context_.json_output && code == kDone && !keep_result_) context_.print_json(result_);
    return changed_ ? show_table(context_, code) : code;
}

/// Read once: the environment is copied.
FileContext& Starter::files()
{
    if (!files_) files_ = std::make_unique<FileContext>(file_context(context_));
    return *files_;
}

} // namespace cluster::cli
