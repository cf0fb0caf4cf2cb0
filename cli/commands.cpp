#include "cli/commands.hpp"

#include "cli/app_options.hpp"

#include <algorithm>

namespace cluster::cli {

const std::vector<Command>& all_commands()
{
    // clang-format off
    static const std::vector<Command> commands{
        {"start", {}, "Start an ecosystem file, a script, a command line, or what is stopped",
         "  clusterctl start ecosystem.json\n"
         "  clusterctl start server.js -i max --name api -- --port 3000\n"
         "  clusterctl start \"python3 -m http.server 8000\"", add_start, true},
        {"run", {}, "Run apps in the foreground, in a container as pid 1",
         "  clusterctl run ecosystem.json\n"
         "  clusterctl run server.js -i 2 --json -- --port 3000\n"
         "  clusterctl run ecosystem.json --only api --grace 25s", add_run, true},
        {"stop", {}, "Stop processes, keep them in the list",
         "  clusterctl stop api\n"
         "  clusterctl stop ecosystem.json", add_stop},
        {"restart", {}, "Stop processes and start them again",
         "  clusterctl restart api --update-env\n"
         "  clusterctl restart all", add_restart, true},
        {"delete", {"del"}, "Stop processes and forget them",
         "  clusterctl delete api worker\n"
         "  clusterctl delete all", add_delete},
        {"reload", {"gracefulReload"}, "Replace processes one by one, the new one first",
         "  clusterctl reload api\n"
         "  clusterctl reload api --prove\n"
         "  clusterctl reload api --abort\n"
         "  clusterctl reload ecosystem.json", add_reload, true},
        {"startOrRestart", {}, "Start the apps of a file, restart those that run",
         "  clusterctl startOrRestart ecosystem.json", add_start_or_restart},
        {"startOrReload", {"startOrGracefulReload"}, "Start the apps of a file, reload those that run",
         "  clusterctl startOrReload ecosystem.json", add_start_or_reload},
        {"scale", {}, "Change how many instances of an app run",
         "  clusterctl scale api 4\n"
         "  clusterctl scale api +2\n"
         "  clusterctl scale api -1", add_scale},
        {"reset", {}, "Set the restart counters to zero",
         "  clusterctl reset all", add_reset},
        {"sendSignal", {}, "Send a signal to processes",
         "  clusterctl sendSignal SIGUSR2 api", add_send_signal},
        {"list", {"ls", "l", "ps", "status"}, "Show all processes",
         "  clusterctl list --sort memory:desc\n"
         "  clusterctl list --json", add_list},
        {"describe", {"show", "info", "desc"}, "Show all about processes",
         "  clusterctl describe api", add_describe},
        {"logs", {"log"}, "Show log lines and follow them",
         "  clusterctl logs                          # the last 15 lines, then what comes\n"
         "  clusterctl logs api web --lines 100 --err\n"
         "  clusterctl logs --since 10m --grep 'time(d )?out' --nostream\n"
         "  clusterctl logs --json --nostream --lines 1000 | jq .message", add_logs},
        {"monit", {"dashboard", "dash"}, "Watch and control everything on the whole terminal",
         "  clusterctl monit                  # ? shows its keys, q quits", add_monit},
        {"flush", {}, "Empty log files",
         "  clusterctl flush\n"
         "  clusterctl flush api --rotated", add_flush},
        {"reloadLogs", {}, "Open all log files again, for logrotate",
         "  clusterctl reloadLogs", add_reload_logs},
        {"jlist", {}, "Print the process list as PM2's JSON",
         "  clusterctl jlist | jq '.[].pm2_env.status'", add_jlist},
        {"prettylist", {}, "Print the same in Node's notation",
         "  clusterctl prettylist", add_prettylist},
        {"env", {}, "Print the environment of a process",
         "  clusterctl env 0", add_env},
        {"pid", {}, "Print pids, one per line",
         "  clusterctl pid api", add_pid},
        {"id", {}, "Print the ids of an app",
         "  clusterctl id api", add_id},
        {"validate", {}, "Check an ecosystem file, start nothing",
         "  clusterctl validate ecosystem.json", add_validate},
        {"save", {"dump"}, "Save the list of processes for `resurrect`",
         "  clusterctl save\n"
         "  clusterctl save --force", add_save},
        {"resurrect", {}, "Bring back what was saved and is not there",
         "  clusterctl resurrect", add_resurrect},
        {"cleardump", {}, "Save an empty list",
         "  clusterctl cleardump", add_cleardump},
        {"get", {}, "Show what is set for the daemon as a whole",
         "  clusterctl get\n"
         "  clusterctl get metrics.listen", add_get},
        {"set", {}, "Change it, at once and for good",
         "  clusterctl set metrics.listen 127.0.0.1:9209\n"
         "  clusterctl set logs.max_total 5G", add_set},
        {"unset", {}, "Give a setting its default back",
         "  clusterctl unset metrics.listen\n"
         "  clusterctl unset all", add_unset},
        {"ping", {}, "Ask the daemon whether it is there, start it if not",
         "  clusterctl ping", add_ping},
        {"doctor", {}, "Check the daemon, its processes and the limits of the system",
         "  clusterctl doctor\n"
         "  clusterctl doctor --json", add_doctor},
        {"update", {"updatePM2"}, "Change to another clusterd under running processes",
         "  clusterctl update\n"
         "  clusterctl update /opt/clusterctl/clusterd", add_update},
        {"daemon-reexec", {}, "Start the daemon's own program anew under running processes",
         "  clusterctl daemon-reexec", add_daemon_reexec},
        {"kill", {}, "Stop all processes and the daemon",
         "  clusterctl kill\n"
         "  clusterctl kill --leave-workers   # the daemon alone; the next command takes the\n"
         "                                    # processes back, such as: clusterctl list", add_kill},
        {"startup", {}, "Let systemd start the daemon at boot, and keep it running",
         "  clusterctl startup --dry-run\n"
         "  clusterctl startup                # as an ordinary user: by your own systemd\n"
         "  sudo clusterctl startup -u deploy --hp /home/deploy", add_startup},
        {"unstartup", {}, "Undo that",
         "  clusterctl unstartup\n"
         "  sudo clusterctl unstartup -u deploy", add_unstartup},
        {"systemd-unit", {}, "Print a unit that runs the apps of a file alone",
         "  clusterctl systemd-unit ecosystem.json > /etc/systemd/system/api.service", add_systemd_unit},
        {"schema", {}, "Print the JSON Schema of ecosystem files",
         "  clusterctl schema > ecosystem.schema.json", add_schema, false, true},
    };
    // clang-format on
    return commands;
}

const Command* find_command(std::string_view word)
{
    const auto found = std::ranges::find_if(all_commands(), [&](const Command& command) {
        return command.name == word ||
               std::ranges::find(command.aliases, word) != command.aliases.end();
    });
    return found == all_commands().end() ? nullptr : &*found;
}

CommandLine cut_command_line(const std::vector<std::string>& words)
{
    CommandLine line;
    const auto dashes = std::ranges::find(words, "--");
    if (dashes != words.end()) line.app_arguments.assign(dashes + 1, words.end());
    for (auto word = words.begin(); word != dashes; ++word) {
        const bool option = word->size() > 1 && word->starts_with('-');
        if (line.command.empty() && !option) {
            line.command = *word;
            continue;
        }
        line.arguments.push_back(*word);
        // The value of an option in front of the command is not the command.
        if (line.command.empty() && takes_value(*word) && word + 1 != dashes)
            line.arguments.push_back(*++word);
    }
    return line;
}

} // namespace cluster::cli
