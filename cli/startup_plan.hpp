// What `startup` and `unstartup` do on this machine, step by step. Pure: what is known of the
// machine goes in, steps or a refusal come out; cli/command_startup.cpp carries them out.
#pragma once

#include "cli/service_unit.hpp"

#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

/// Of the machine and of who asks.
struct StartupFacts {
    bool root = false;
    bool booted = false;       ///< systemd runs here (man 3 sd_booted)
    std::string caller;        ///< name of the user
    std::string caller_home;   ///< home directory
    std::string cluster_home;  ///< what clusterctl uses without a word about it
    std::string config_folder; ///< $XDG_CONFIG_HOME, else ~/.config; absolute
    std::string path;          ///< $PATH
    std::string clusterd, clusterctl;
};

/// What was typed.
struct StartupWords {
    std::string platform{};  ///< "" systemd
    std::string user{};      ///< -u
    std::string user_home{}; ///< --hp, else from the user database when `user` is somebody else; ""
                             ///< unknown
    std::string service_name{}; ///< --service-name
    bool wait_ip = false;
    bool hardened = false;
};

struct Step {
    enum class Kind { write, remove, run };
    Kind kind = Kind::run;
    std::string path{};               ///< write, remove
    std::vector<std::string> words{}; ///< run; words[0] is looked up in PATH
    std::string hint{};               ///< not empty: its failure is a warning, with this advice
    bool only_booted = false;         ///< there has to be a systemd to talk to
};

struct StartupPlan {
    Scope scope = Scope::system;
    std::string name; ///< "clusterctl-alice.service"
    std::string path; ///< of the unit file
    std::string text; ///< startup only
    std::string user;
    std::string home; ///< CLUSTER_HOME
    std::vector<Step> steps;
    std::vector<std::string> notes; ///< said at the end
};

/// "systemctl --user enable x", as a shell takes it.
[[nodiscard]] std::string step_text(const Step& step);

/// Errors: a sentence for a person, with what to do instead.
[[nodiscard]] std::expected<StartupPlan, std::string> plan_startup(const StartupFacts& facts,
                                                                   const StartupWords& words);
[[nodiscard]] std::expected<StartupPlan, std::string> plan_unstartup(const StartupFacts& facts,
                                                                     const StartupWords& words);

/// The line with which an ordinary user makes root do it for the whole system.
[[nodiscard]] std::string sudo_line(const StartupFacts& facts, const std::string& command,
                                    const StartupWords& words);

} // namespace cluster::cli
