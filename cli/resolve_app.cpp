#include "cli/resolve_app.hpp"

#include "cli/interpreters.hpp"
#include "cli/paths.hpp"
#include "ipc/wire/attributes.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <exception>
#include <filesystem>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

using ipc::AppSpec;

class Resolver {
public:
    Resolver(AppSpec& spec, const std::string& file, FileContext& context,
             ipc::Diagnostics& diagnostics)
        : spec_{spec}, file_{file}, context_{context}, diagnostics_{diagnostics}
    {
    }

    void run()
    {
        if (spec_.name.empty()) spec_.name = ipc::default_name(spec_.script);
        const bool cwd_is_good = resolve_cwd();
        // Below a folder that is not there nothing can be found: one message is enough.
        const bool can_look = cwd_is_good || spec_.script.starts_with('/');
        if (can_look && resolve_script() && resolve_interpreter()) choose_exec_mode();
        for (std::string* path : {&spec_.out_file, &spec_.error_file, &spec_.pid_file})
            if (!path->empty()) *path = absolute(*path, spec_.cwd);
        if (!spec_.log_file.value_or("").empty())
            spec_.log_file = absolute(*spec_.log_file, spec_.cwd);
    }

    void error(std::string attribute, std::string message)
    {
        diagnostics_.push_back({.file = file_,
                                .app = ipc::app_label({{"name", spec_.name}}, 0),
                                .attribute = std::move(attribute),
                                .message = std::move(message)});
    }

private:
    [[nodiscard]] std::string absolute(std::string_view path, const std::string& base) const
    {
        return absolute_path(path, base, context_.environment);
    }

    [[nodiscard]] std::optional<std::string> in_path(std::string_view word) const
    {
        return find_in_path(word, context_.environment, context_.cwd);
    }

    bool resolve_cwd()
    {
        spec_.cwd = absolute(spec_.cwd, context_.cwd);
        if (file_kind(spec_.cwd) == FileKind::directory) return true;
        error("cwd", fmt::format("cwd must be an existing directory, got \"{}\"", spec_.cwd));
        return false;
    }

    bool resolve_script()
    {
        const std::string path = absolute(spec_.script, spec_.cwd);
        const FileKind kind = file_kind(path);
        if (kind == FileKind::regular) {
            spec_.script = path;
            return true;
        }
        if (kind == FileKind::directory) {
            error("script", fmt::format("script must be a file, got the directory {}", path));
            return false;
        }
        const bool is_command_line = spec_.script.find_first_of(" \t\n") != std::string::npos;
        if (is_command_line && (spec_.interpreter.empty() || spec_.interpreter == "none"))
            return run_in_shell();
        if (!spec_.script.contains('/'))
            if (auto found = in_path(spec_.script)) {
                spec_.script = std::move(*found);
                return true;
            }
        error("script", "script not found: " + path);
        return false;
    }

    /// `bash -c "<the line>"`; arguments, if any, follow the line's own.
    bool run_in_shell()
    {
        auto shell = in_path("bash");
        if (!shell) shell = in_path("sh");
        if (!shell) {
            error("script",
                  fmt::format("\"{}\" needs bash or sh, and neither is in PATH", spec_.script));
            return false;
        }
        std::vector<std::string> args{"-c", spec_.script};
        if (!spec_.args.empty()) {
            args[1] += " \"$@\"";
            args.push_back(spec_.name); // $0
            args.insert(args.end(), spec_.args.begin(), spec_.args.end());
        }
        spec_.args = std::move(args);
        spec_.script = std::move(*shell);
        spec_.interpreter = "none";
        return true;
    }

    bool resolve_interpreter()
    {
        const bool good = spec_.interpreter.empty() ? choose() : look_up_given();
        const std::string program = std::filesystem::path{spec_.interpreter}.filename();
        // Else a script's output would stay in its buffer until 8 KiB are there (PM2 does so too).
        if (program.contains("python")) spec_.env.try_emplace("PYTHONUNBUFFERED", "1");
        return good;
    }

    bool choose()
    {
        auto chosen = choose_interpreter(spec_.script, context_);
        if (!chosen) {
            error("interpreter", std::move(chosen.error()));
            return false;
        }
        spec_.interpreter = std::move(chosen->program);
        spec_.interpreter_args.insert(spec_.interpreter_args.begin(), chosen->args.begin(),
                                      chosen->args.end());
        return true;
    }

    bool look_up_given()
    {
        if (spec_.interpreter == "none") {
            if (is_executable(spec_.script)) return true;
            error("script", fmt::format("script is not executable: {}", spec_.script));
            return false;
        }
        const std::string path = absolute(spec_.interpreter, spec_.cwd);
        const bool is_path = spec_.interpreter.contains('/');
        auto found = is_path && is_executable(path) ? std::optional{path}
                     : is_path                      ? std::nullopt
                                                    : in_path(spec_.interpreter);
        if (!found) {
            error("interpreter",
                  fmt::format("interpreter must be \"none\", a program in PATH or the path of one, "
                              "got \"{}\"",
                              spec_.interpreter));
            return false;
        }
        spec_.interpreter = std::move(*found);
        return true;
    }

    /// PM2's rule, for files that do not say.
    void choose_exec_mode()
    {
        const std::string program = std::filesystem::path{spec_.interpreter}.filename();
        const bool knows_cluster = program == "node" || program == "bun";
        if (spec_.exec_mode == ipc::ExecMode::cluster && !knows_cluster) {
            error("exec_mode", "exec_mode \"cluster\" is Node's own and has no effect with " +
                                   (program == "none" ? "a program of its own" : program) +
                                   ": declare `listen` to share a socket");
            diagnostics_.back().severity = ipc::Severity::warning;
        }
        if (spec_.exec_mode_given || !spec_.instances) return;
        if (knows_cluster) spec_.exec_mode = ipc::ExecMode::cluster;
        spec_.exec_mode_given = spec_.exec_mode == ipc::ExecMode::cluster;
    }

    AppSpec& spec_;
    const std::string& file_;
    FileContext& context_;
    ipc::Diagnostics& diagnostics_;
};

} // namespace

void resolve_app(AppSpec& spec, const std::string& file, FileContext& context,
                 ipc::Diagnostics& diagnostics)
{
    Resolver resolver{spec, file, context, diagnostics};
    try {
        resolver.run();
    } catch (const std::exception& e) { // std::filesystem, out of memory
        resolver.error("", e.what());
    }
}

} // namespace cluster::cli
