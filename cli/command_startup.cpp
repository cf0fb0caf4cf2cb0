// startup, unstartup: a unit of systemd that runs the daemon of a home, and away with it.
#include "cli/commands.hpp"
#include "cli/daemon_starter.hpp"
#include "cli/paths.hpp"
#include "cli/services.hpp"
#include "cli/startup_plan.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

namespace cluster::cli {
namespace {

struct StartupOptions {
    StartupWords words;
    bool dry_run = false;
};

using Planner = std::expected<StartupPlan, std::string> (*)(const StartupFacts&,
                                                            const StartupWords&);

StartupFacts read_facts(const Context& context)
{
    const passwd* self = ::getpwuid(::geteuid());
    return {.root = ::geteuid() == 0,
            .booted = systemd_runs(),
            .caller = self ? self->pw_name : std::to_string(::geteuid()),
            .caller_home = self ? self->pw_dir : "",
            .cluster_home = context.session.home(),
            .config_folder = config_folder(current_environment()),
            .path = current_environment()["PATH"],
            .clusterd = find_clusterd(),
            .clusterctl = own_program()};
}

/// The home of another user, where it was not given.
void look_up_user(const StartupFacts& facts, StartupWords& words)
{
    if (words.user.empty() || words.user == facts.caller || !words.user_home.empty()) return;
    if (const passwd* user = ::getpwnam(words.user.c_str())) words.user_home = user->pw_dir;
}

ipc::Result<void> write_unit(const std::string& path, const std::string& text, ipc::System& system)
{
    const std::string folder = path.substr(0, path.rfind('/'));
    if (auto made = system.make_directories(folder); !made) return made;
    const std::string fresh = path + ".new";
    const auto file = system.open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (!file) return std::unexpected(file.error());
    for (std::string_view rest = text; !rest.empty();) {
        const auto size = system.write(file->get(), rest.data(), rest.size());
        if (!size) return ipc::fail(size.error().code, "write " + fresh);
        rest.remove_prefix(*size);
    }
    return system.rename(fresh, path);
}

std::expected<void, std::string> carry_out(const Step& step, const StartupPlan& plan,
                                           Context& context)
{
    if (step.kind == Step::Kind::run)
        return run_program(context.system, context.clock, step.words,
                           with_runtime_folder(current_environment()));
    const auto done = step.kind == Step::Kind::write
                          ? write_unit(step.path, plan.text, context.system)
                          : context.system.unlink(step.path);
    if (!done) return std::unexpected(done.error().text());
    return {};
}

json report_of(const StartupPlan& plan, bool dry_run)
{
    return {{"unit", plan.name},
            {"path", plan.path},
            {"scope", plan.scope == Scope::system ? "system" : "user"},
            {"user", plan.user},
            {"home", plan.home},
            {"text", plan.text},
            {"dry_run", dry_run},
            {"steps", json::array()},
            {"notes", plan.notes}};
}

int show_plan(const StartupPlan& plan, Context& context)
{
    if (context.json_output) {
        json report = report_of(plan, true);
        for (const Step& step : plan.steps)
            report["steps"].push_back({{"step", step_text(step)}, {"done", false}});
        context.print_json(report);
        return kDone;
    }
    if (!plan.text.empty()) context.out.write(plan.text + "\n");
    for (const Step& step : plan.steps)
        context.info("Would do: " + step_text(step));
    for (const std::string& note : plan.notes)
        context.info(note);
    return kDone;
}

/// Of the first step that failed and had to work; "" when all is well. `all`: the others are
/// carried out all the same.
std::string carry_out_all(const StartupPlan& plan, bool all, json& report, Context& context)
{
    std::string failure;
    for (const Step& step : plan.steps) {
        const std::string text = step_text(step);
        context.info("[-] Executing: " + text);
        const auto done = carry_out(step, plan, context);
        report["steps"].push_back({{"step", text}, {"done", done.has_value()}});
        if (done) {
            context.info("[v] Done");
            continue;
        }
        report["steps"].back()["error"] = done.error();
        if (!step.hint.empty()) {
            context.warn(fmt::format("{}: {}; {}", text, done.error(), step.hint));
            continue;
        }
        if (failure.empty()) failure = text + ": " + done.error();
        if (!all) break;
        context.error(text + ": " + done.error());
    }
    return failure;
}

int run_plan(const StartupPlan& plan, bool all, Context& context)
{
    json report = report_of(plan, false);
    const std::string failure = carry_out_all(plan, all, report, context);
    if (context.json_output) context.print_json(report);
    if (!failure.empty()) return context.fail(failure);
    for (const std::string& note : plan.notes)
        context.info(note);
    return kDone;
}

int run_startup(const StartupOptions& options, Context& context)
{
    const StartupFacts facts = read_facts(context);
    StartupWords words = options.words;
    look_up_user(facts, words);
    const auto plan = plan_startup(facts, words);
    if (!plan) return context.fail(plan.error());
    if (const auto other = find_unit(context.system, plan->home, facts.config_folder);
        other && other->path != plan->path)
        return context.fail(fmt::format("{} runs the daemon of {} already; remove it first: "
                                        "{}clusterctl unstartup --service-name {}",
                                        other->path, plan->home,
                                        other->scope == Scope::system && !facts.root ? "sudo " : "",
                                        other->name));
    return options.dry_run ? show_plan(*plan, context) : run_plan(*plan, false, context);
}

int run_unstartup(const StartupOptions& options, Context& context)
{
    const StartupFacts facts = read_facts(context);
    StartupWords words = options.words;
    look_up_user(facts, words);
    auto plan = plan_unstartup(facts, words);
    if (!plan) return context.fail(plan.error());
    if (file_kind(plan->path) == FileKind::missing && words.service_name.empty()) {
        // One of another name for the same home.
        const auto unit = find_unit(context.system, plan->home, facts.config_folder);
        if (unit && unit->scope == plan->scope) {
            words.service_name = unit->name;
            plan = plan_unstartup(facts, words);
        }
    }
    if (file_kind(plan->path) == FileKind::missing)
        return context.fail(fmt::format("there is no unit {}: nothing to undo", plan->path));
    return options.dry_run ? show_plan(*plan, context) : run_plan(*plan, true, context);
}

std::shared_ptr<StartupOptions> add_options(CLI::App& parser)
{
    auto options = std::make_shared<StartupOptions>();
    StartupWords& words = options->words;
    parser.add_option("platform", words.platform, "Only 'systemd', which is also the default");
    parser.add_option("-u,--user", words.user, "As root: the user that the daemon runs as");
    parser.add_option("--hp", words.user_home,
                      "Home directory of that user; the daemon's home is .clusterctl in it");
    parser.add_option(
        "--service-name", words.service_name,
        "Name of the unit; by default clusterctl-USER, as an ordinary user clusterctl");
    parser.add_flag("--dry-run", options->dry_run, "Print everything and do nothing");
    return options;
}

} // namespace

void add_startup(CLI::App& parser, Context& context, const Words&)
{
    auto options = add_options(parser);
    parser.add_flag("--wait-ip", options->words.wait_ip, "Not before the network is configured");
    parser.add_flag("--hardened", options->words.hardened,
                    "With systemd's sandbox for the daemon and its processes: no new privileges, "
                    "/usr and /etc read-only, no devices");
    parser.callback([options, &context] { context.exit_code = run_startup(*options, context); });
}

void add_unstartup(CLI::App& parser, Context& context, const Words&)
{
    auto options = add_options(parser);
    parser.callback([options, &context] { context.exit_code = run_unstartup(*options, context); });
}

} // namespace cluster::cli
