#include "cli/startup_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

using Kind = Step::Kind;

/// PM2's names for systemd and for distributions that come with it.
constexpr std::string_view kSystemd[] = {"", "systemd", "ubuntu", "centos", "arch", "oracle"};

std::optional<std::string> refusal_of_platform(const std::string& platform)
{
    if (std::ranges::find(kSystemd, platform) != std::end(kSystemd)) return std::nullopt;
    return fmt::format(
        "the platform '{}' is not supported, only systemd is: leave the name out where systemd "
        "runs; "
        "elsewhere let your init run `clusterd --foreground` as the user, which ends in order on "
        "SIGTERM",
        platform);
}

bool has_control(std::string_view text)
{
    return std::ranges::any_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// Which unit it is about: the same for both commands.
std::expected<StartupPlan, std::string> identify(const StartupFacts& facts, StartupWords words,
                                                 const std::string& command)
{
    if (const auto refusal = refusal_of_platform(words.platform)) return std::unexpected(*refusal);
    if (!facts.root && !facts.booted)
        return std::unexpected(fmt::format("systemd does not run here, so you have none of your "
                                           "own; a unit of the whole system can "
                                           "be prepared all the same: {}",
                                           sudo_line(facts, command, words)));
    StartupPlan plan;
    plan.scope = facts.root ? Scope::system : Scope::user;
    const bool other = !words.user.empty() && words.user != facts.caller;
    if (!facts.root && other)
        return std::unexpected(fmt::format("only root can do that for another user; run: {}",
                                           sudo_line(facts, command, words)));
    plan.user = other ? words.user : facts.caller;
    if (other && words.user_home.empty())
        return std::unexpected(fmt::format(
            "there is no user '{}' here; say an existing one, or its home with --hp", words.user));
    plan.home = words.user_home.empty() ? facts.cluster_home : words.user_home + "/.clusterctl";
    if (!plan.home.starts_with('/') || has_control(plan.home) || has_control(plan.user))
        return std::unexpected(fmt::format("the home '{}' must be an absolute path without control "
                                           "characters; set --hp or CLUSTER_HOME",
                                           plan.home));
    const std::string fallback =
        facts.root ? "clusterctl-" + as_unit_name(plan.user) : "clusterctl";
    const auto name = service_name(words.service_name.empty() ? fallback : words.service_name);
    if (!name)
        return std::unexpected(fmt::format(
            "'{}' cannot be the name of a service: letters, digits and :-_. are allowed",
            words.service_name));
    plan.name = *name;
    plan.path =
        (facts.root ? "/etc/systemd/system/" : facts.config_folder + "/systemd/user/") + *name;
    return plan;
}

/// `systemctl …`, of the user's own systemd in that scope.
Step systemctl(Scope scope, std::vector<std::string> words, bool only_booted)
{
    if (scope == Scope::user) words.insert(words.begin(), "--user");
    words.insert(words.begin(), "systemctl");
    return {.kind = Kind::run, .words = std::move(words), .only_booted = only_booted};
}

/// Those that need a systemd to talk to are left out where none runs.
void leave_out_unbooted(StartupPlan& plan, bool booted)
{
    if (booted) return;
    std::erase_if(plan.steps, [](const Step& step) { return step.only_booted; });
    plan.notes.emplace_back("systemd does not run here: it takes effect at the next boot with it");
}

} // namespace

std::string step_text(const Step& step)
{
    if (step.kind == Kind::write) return "write " + step.path;
    if (step.kind == Kind::remove) return "remove " + step.path;
    std::string text;
    for (const std::string& word : step.words)
        text += (text.empty() ? "" : " ") + shell_word(word);
    return text;
}

std::string sudo_line(const StartupFacts& facts, const std::string& command,
                      const StartupWords& words)
{
    const bool other = !words.user.empty() && words.user != facts.caller;
    std::string line = fmt::format("sudo {} {} -u {}", shell_word(facts.clusterctl), command,
                                   shell_word(other ? words.user : facts.caller));
    if (command == "startup") line.insert(5, "env \"PATH=$PATH\" "); // "sudo " stays in front
    const std::string home = other ? words.user_home : facts.caller_home;
    if (!home.empty()) line += " --hp " + shell_word(home);
    if (!words.service_name.empty()) line += " --service-name " + shell_word(words.service_name);
    return line;
}

std::expected<StartupPlan, std::string> plan_startup(const StartupFacts& facts,
                                                     const StartupWords& words)
{
    auto plan = identify(facts, words, "startup");
    if (!plan) return plan;
    if (facts.clusterd.empty())
        return std::unexpected("clusterd was found neither beside clusterctl nor in PATH; set "
                               "CLUSTERD to where it is");
    plan->text = daemon_unit_text({.scope = plan->scope,
                                   .user = plan->user,
                                   .home = plan->home,
                                   .path = service_path(facts.path),
                                   .clusterd = facts.clusterd,
                                   .clusterctl = facts.clusterctl,
                                   .wait_ip = words.wait_ip,
                                   .hardened = words.hardened});
    if (!facts.root) {
        // It also starts the user's systemd where none runs, so it comes first.
        plan->steps.push_back(
            {.words = {"loginctl", "enable-linger", plan->user},
             .hint = fmt::format("without it the daemon begins with your first login and ends with "
                                 "your last; run: sudo loginctl enable-linger {}",
                                 plan->user),
             .only_booted = true});
        plan->notes.push_back("this is your own systemd's; for a unit of the whole system run: " +
                              sudo_line(facts, "startup", words));
    }
    plan->steps.push_back({.kind = Kind::write, .path = plan->path});
    plan->steps.push_back(systemctl(plan->scope, {"daemon-reload"}, true));
    plan->steps.push_back(systemctl(plan->scope, {"enable", plan->name}, false));
    plan->steps.push_back(systemctl(plan->scope, {"start", plan->name}, true));
    leave_out_unbooted(*plan, facts.booted);
    return plan;
}

std::expected<StartupPlan, std::string> plan_unstartup(const StartupFacts& facts,
                                                       const StartupWords& words)
{
    auto plan = identify(facts, words, "unstartup");
    if (!plan) return plan;
    plan->steps.push_back(systemctl(plan->scope, {"stop", plan->name}, true));
    plan->steps.push_back(systemctl(plan->scope, {"disable", plan->name}, false));
    plan->steps.push_back({.kind = Kind::remove, .path = plan->path});
    plan->steps.push_back(systemctl(plan->scope, {"daemon-reload"}, true));
    if (!facts.root)
        plan->notes.push_back(fmt::format("lingering is left as it is; to end it, too: loginctl "
                                          "disable-linger {}",
                                          plan->user));
    plan->notes.emplace_back("the next `clusterctl` command starts the daemon by itself, with what "
                             "was to run");
    leave_out_unbooted(*plan, facts.booted);
    return plan;
}

} // namespace cluster::cli
