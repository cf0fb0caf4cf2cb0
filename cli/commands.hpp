// The commands of clusterctl, one row each, and the functions that give a parser their options.
// Only the parser of the command that was asked for is built: start-up time is what users feel.
#pragma once

#include "cli/context.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace cluster::cli {

/// A command line cut up before any option is understood.
struct CommandLine {
    std::string command;                    ///< first word that is no option; "" when there is none
    std::vector<std::string> arguments;     ///< the rest, options before the command included
    std::vector<std::string> app_arguments; ///< what stood behind "--"
};

/// `words` is argv without the program's name.
[[nodiscard]] CommandLine cut_command_line(const std::vector<std::string>& words);

/// Adds options to a parser and the callback that runs the command. `app_arguments` are those
/// behind
/// "--"; both references live until the callback has run.
using Configure = void (*)(CLI::App& parser, Context& context,
                           const std::vector<std::string>& app_arguments);

struct Command {
    std::string_view name;
    std::vector<std::string_view> aliases;
    std::string_view brief;
    std::string_view example; ///< lines below "Examples:" in its help
    Configure configure;
    bool takes_app_arguments = false; ///< "--" is allowed
    bool hidden = false;              ///< not in the overview
};

/// In the order of the overview.
[[nodiscard]] const std::vector<Command>& all_commands();

/// By name or alias; null when there is none.
[[nodiscard]] const Command* find_command(std::string_view word);

// One per command, in the file named in the comment.
using Words = std::vector<std::string>;
void add_start(CLI::App& parser, Context& context, const Words& app_arguments);   // command_start
void add_run(CLI::App& parser, Context& context, const Words& app_arguments);     // command_run
void add_restart(CLI::App& parser, Context& context, const Words& app_arguments); // command_start
void add_reload(CLI::App& parser, Context& context, const Words& app_arguments);  // command_reload
void add_start_or_restart(CLI::App& parser, Context& context,
                          const Words& app_arguments); // command_start
void add_start_or_reload(CLI::App& parser, Context& context,
                         const Words& app_arguments);                     // command_start
void add_stop(CLI::App& parser, Context& context, const Words&);          // command_control
void add_delete(CLI::App& parser, Context& context, const Words&);        // command_control
void add_reset(CLI::App& parser, Context& context, const Words&);         // command_control
void add_scale(CLI::App& parser, Context& context, const Words&);         // command_control
void add_send_signal(CLI::App& parser, Context& context, const Words&);   // command_control
void add_list(CLI::App& parser, Context& context, const Words&);          // command_show
void add_jlist(CLI::App& parser, Context& context, const Words&);         // command_show
void add_prettylist(CLI::App& parser, Context& context, const Words&);    // command_show
void add_describe(CLI::App& parser, Context& context, const Words&);      // command_show
void add_env(CLI::App& parser, Context& context, const Words&);           // command_show
void add_pid(CLI::App& parser, Context& context, const Words&);           // command_show
void add_id(CLI::App& parser, Context& context, const Words&);            // command_show
void add_logs(CLI::App& parser, Context& context, const Words&);          // command_logs
void add_monit(CLI::App& parser, Context& context, const Words&);         // command_monit
void add_flush(CLI::App& parser, Context& context, const Words&);         // command_log_files
void add_reload_logs(CLI::App& parser, Context& context, const Words&);   // command_log_files
void add_ping(CLI::App& parser, Context& context, const Words&);          // command_daemon
void add_kill(CLI::App& parser, Context& context, const Words&);          // command_daemon
void add_save(CLI::App& parser, Context& context, const Words&);          // command_saved
void add_cleardump(CLI::App& parser, Context& context, const Words&);     // command_saved
void add_resurrect(CLI::App& parser, Context& context, const Words&);     // command_saved
void add_update(CLI::App& parser, Context& context, const Words&);        // command_update
void add_daemon_reexec(CLI::App& parser, Context& context, const Words&); // command_update
void add_startup(CLI::App& parser, Context& context, const Words&);       // command_startup
void add_unstartup(CLI::App& parser, Context& context, const Words&);     // command_startup
void add_systemd_unit(CLI::App& parser, Context& context, const Words&);  // command_systemd_unit
void add_doctor(CLI::App& parser, Context& context, const Words&);        // command_doctor
void add_get(CLI::App& parser, Context& context, const Words&);           // command_settings
void add_set(CLI::App& parser, Context& context, const Words&);           // command_settings
void add_unset(CLI::App& parser, Context& context, const Words&);         // command_settings
void add_validate(CLI::App& parser, Context& context, const Words&);      // command_files
void add_schema(CLI::App& parser, Context& context, const Words&);        // command_files

/// Prints the table of all processes, as each command does that changed something. Returns `code`,
/// or the exit code of what went wrong with it. Nothing with --json and --silent.
int show_table(Context& context, int code);

} // namespace cluster::cli
