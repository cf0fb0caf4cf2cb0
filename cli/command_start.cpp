// start and restart: an ecosystem file, a script, a command line, or what is managed already.
#include "cli/app_files.hpp"
#include "cli/app_options.hpp"
#include "cli/commands.hpp"
#include "cli/paths.hpp"
#include "cli/progress.hpp"
#include "ipc/wire/attributes.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

struct StartOptions {
    Words targets;
    AppOptions app;
    std::string env_name;
    std::string only;
    bool force = false;
    bool update_env = false;
    bool no_wait = false;
};

/// What `start` without a target takes, in this order.
constexpr std::array kDefaultFiles{"ecosystem.config.js",  "ecosystem.config.cjs",
                                   "ecosystem.config.mjs", "ecosystem.json",
                                   "ecosystem.yaml",       "ecosystem.yml"};

/// Carries out one `start` or `restart`, target by target; the first failure ends it.
class Starter {
public:
    Starter(const StartOptions& options, const Words& app_arguments, Context& context)
        : options_{options}, app_arguments_{app_arguments}, context_{context},
          attributes_(options.app.attributes())
    {
    }

    int run_start()
    {
        Words targets = options_.targets;
        if (targets.empty()) targets = default_file();
        if (targets.empty())
            return context_.fail("nothing to start: no target was given and this folder has no "
                                 "ecosystem.config.js and no ecosystem.json");
        int code = kDone;
        for (const std::string& target : targets) {
            code = start_target(target);
            if (code != kDone) break;
        }
        return finish(code);
    }

    /// `method` is "restart" or "reload".
    int run_again(const char* method)
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

private:
    Words default_file()
    {
        for (const char* name : kDefaultFiles)
            if (context_.system.open(name, O_RDONLY, 0)) return {name};
        return {};
    }

    /// PM2's order: a file; a name or namespace that is managed; an id; a new process.
    int start_target(const std::string& target)
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

    int start_file(const std::string& path)
    {
        const ipc::Ecosystem ecosystem = load_apps({.path = path,
                                                    .env_name = options_.env_name,
                                                    .only = options_.only,
                                                    .attributes = attributes_},
                                                   files());
        return again_ == "reload" ? reload_apps(ecosystem) : start_apps(ecosystem, "restart");
    }

    int reload_apps(const ipc::Ecosystem& ecosystem)
    {
        print_diagnostics(ecosystem.diagnostics, context_);
        if (ipc::has_errors(ecosystem.diagnostics)) return kFailed;
        return ask("reload",
                   {{"apps", specifications(ecosystem.apps)}, {"environment", files().environment}},
                   "reloading");
    }

    int start_script(const std::string& script)
    {
        json app = attributes_;
        app["script"] = script;
        // A file with blanks in its path is no command line, so its first word is no name.
        const std::string cwd =
            absolute_path(app.value("cwd", "."), current_folder(), files().environment);
        if (file_kind(absolute_path(script, cwd, files().environment)) == FileKind::regular)
            app.emplace("name", ipc::name_of_file(script));
        if (!app_arguments_.empty()) app["args"] = app_arguments_;
        return start_apps(make_app(app, files()), options_.force ? "new" : "error");
    }

    int start_apps(const ipc::Ecosystem& ecosystem, const char* existing)
    {
        print_diagnostics(ecosystem.diagnostics, context_);
        if (ipc::has_errors(ecosystem.diagnostics)) return kFailed;
        json params = {{"apps", specifications(ecosystem.apps)},
                       {"environment", files().environment},
                       {"existing", existing}};
        return ask("start", std::move(params), "starting");
    }

    int restart(const Words& targets)
    {
        if (!options_.env_name.empty())
            return context_.fail("--env works with an ecosystem file only");
        json params = {{"targets", targets}, {"cwd", current_folder()}};
        if (options_.update_env) params["environment"] = files().environment;
        if (!attributes_.empty()) params["attributes"] = absolute_paths(attributes_);
        return ask(again_.c_str(), std::move(params), again_ + "ing");
    }

    /// The daemon knows nothing of our working directory.
    json absolute_paths(json attributes)
    {
        for (const char* name : {"cwd", "out_file", "error_file", "pid_file"}) {
            const auto path = attributes.find(name);
            if (path != attributes.end() && path->is_string())
                *path =
                    absolute_path(path->get<std::string>(), current_folder(), files().environment);
        }
        return attributes;
    }

    int ask(const char* method, json params, const std::string& verb)
    {
        if (options_.no_wait) params["wait"] = false;
        auto answer = call_with_progress(context_, method, params, verb);
        changed_ = changed_ || answer || answer.error().code == ipc::kFailed;
        if (!answer) return context_.fail(answer.error());
        for (json& process : (*answer)["processes"])
            processes_.push_back(std::move(process));
        return kDone;
    }

    int finish(int code)
    {
        if (context_.json_output && code == kDone)
            context_.print_json({{"processes", std::move(processes_)}});
        return changed_ ? show_table(context_, code) : code;
    }

    /// Read once: the environment is copied.
    FileContext& files()
    {
        if (!files_) files_ = std::make_unique<FileContext>(file_context(context_));
        return *files_;
    }

    const StartOptions& options_;
    const Words& app_arguments_;
    Context& context_;
    json attributes_;
    std::unique_ptr<FileContext> files_;
    std::string again_ = "restart";  ///< how what is managed already is started again
    json processes_ = json::array(); ///< for --json: what all requests answered
    bool changed_ = false;           ///< some request was carried out at least in part
};

void add_options(CLI::App& parser, StartOptions& options)
{
    options.app.add_to(parser);
    parser.add_option("--env", options.env_name, "With an ecosystem file: use env_<name> too");
    parser.add_option("--only", options.only, "With an ecosystem file: only these apps, 'a,b'");
    parser.add_flag("-a,--update-env", options.update_env,
                    "Give what is managed already the environment of this command");
    parser.add_flag("--no-wait", options.no_wait, "Do not wait until each process is online");
}

} // namespace

void add_start(CLI::App& parser, Context& context, const Words& app_arguments)
{
    auto options = std::make_shared<StartOptions>();
    parser.add_option(
        "target", options->targets,
        "Ecosystem file, script, program, command line in quotes, name, namespace, id, "
        "'all', or - for a configuration on stdin");
    parser.add_flag("-f,--force", options->force, "Start a script that is managed already again");
    add_options(parser, *options);
    parser.callback([options, &app_arguments, &context] {
        context.exit_code = Starter{*options, app_arguments, context}.run_start();
    });
}

namespace {

void add_again(CLI::App& parser, Context& context, const Words& app_arguments, const char* method)
{
    auto options = std::make_shared<StartOptions>();
    parser
        .add_option("target", options->targets,
                    "Id, name, namespace, /regex/, 'all' or an ecosystem file")
        ->required();
    add_options(parser, *options);
    parser.callback([options, method, &app_arguments, &context] {
        context.exit_code = Starter{*options, app_arguments, context}.run_again(method);
    });
}

} // namespace

void add_restart(CLI::App& parser, Context& context, const Words& app_arguments)
{
    add_again(parser, context, app_arguments, "restart");
}

void add_reload(CLI::App& parser, Context& context, const Words& app_arguments)
{
    add_again(parser, context, app_arguments, "reload");
}

} // namespace cluster::cli
