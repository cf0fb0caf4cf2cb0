// Carries out start, restart and reload: an ecosystem file, a script, a command line, or what is
// managed already.
#pragma once

#include "cli/app_files.hpp"
#include "cli/app_options.hpp"
#include "cli/progress.hpp"

#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cluster::cli {

struct StartOptions {
    std::vector<std::string> targets{};
    AppOptions app{};
    std::string env_name{};
    std::string only{};
    bool force = false;
    bool update_env = false;
    bool no_wait = false;
    bool no_queue = false; ///< of a reload
};

/// Adds what start, restart and reload have in common. `options` outlives the parser's work.
void add_start_options(CLI::App& parser, StartOptions& options);

/// Carries out one command, target by target; the first failure ends it.
class Starter {
public:
    Starter(const StartOptions& options, const std::vector<std::string>& app_arguments,
            Context& context);

    /// Each returns the exit code. The method is "restart" or "reload".
    int run_start();
    int run_again(const std::string& method);

    /// Instead of starting them: the apps that the targets declare. Error: the exit code; what was
    /// wrong has been printed.
    std::expected<std::vector<ipc::AppSpec>, int> declared();

    /// Gets the params of each `progress` notification.
    void observe(std::function<void(const json& params)> observer);

    /// What the daemon answered: {"processes":[…]}, or {"error":{…}} of what ended it.
    [[nodiscard]] const json& result() const { return result_; }
    /// Prints nothing of the result with --json: the caller does.
    void keep_result() { keep_result_ = true; }

private:
    std::vector<std::string> default_file();
    int start_target(const std::string& target);
    std::vector<std::string> targets_or_default();
    ipc::Ecosystem load_file(const std::string& path);
    ipc::Ecosystem load_script(const std::string& script);
    int start_file(const std::string& path);
    int start_script(const std::string& script);
    int start_apps(const ipc::Ecosystem& ecosystem, const char* existing);
    int reload_apps(const ipc::Ecosystem& ecosystem);
    int restart(const std::vector<std::string>& targets);
    json absolute_paths(json attributes);
    int ask(const std::string& method, json params);
    [[nodiscard]] Following following(const std::string& method) const;
    int finish(int code);
    FileContext& files();

    const StartOptions& options_;
    const std::vector<std::string>& app_arguments_;
    Context& context_;
    json attributes_;
    std::unique_ptr<FileContext> files_;
    std::function<void(const json&)> observer_;
    std::string again_ = "restart";                ///< how what is managed already is started again
    json result_ = {{"processes", json::array()}}; ///< of all requests
    bool keep_result_ = false;
    bool changed_ = false; ///< some request was carried out at least in part
};

} // namespace cluster::cli
