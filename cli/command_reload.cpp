// reload: with a proof, and its rollback.
#include "cli/commands.hpp"
#include "cli/process_view.hpp"
#include "cli/prove.hpp"
#include "cli/starter.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <expected>
#include <memory>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

struct ReloadOptions {
    StartOptions start;
    bool abort = false;
    bool prove = false;
    std::string prove_path;
    std::string prove_url;
    int prove_rate = 200;
};

/// The first option that has no meaning beside --abort; "" when there is none.
std::string option_beside_abort(const CLI::App& parser)
{
    constexpr std::string_view kFitting[] = {"target", "--abort", "--json", "--no-color",
                                             "--silent"};
    for (const CLI::Option* option : parser.get_options()) {
        const std::string name = option->get_name();
        if (option->count() > 0 && std::ranges::find(kFitting, name) == std::end(kFitting))
            return name;
    }
    return {};
}

int run_abort(const CLI::App& parser, const ReloadOptions& options, Context& context)
{
    if (const std::string other = option_beside_abort(parser); !other.empty())
        return context.fail(fmt::format("reload: {} has no meaning beside --abort", other), kUsage);
    const auto targets = expand_targets(options.start.targets, context);
    if (!targets) return targets.error();
    const auto answer =
        context.session.call("reload.abort", {{"targets", *targets}, {"cwd", current_folder()}});
    if (!answer) return context.fail(answer.error());
    if (context.json_output) context.print_json(*answer);
    for (const json& name : answer->value("aborted", json::array()))
        if (name.is_string())
            context.info(fmt::format("[{}] reload aborted: the new processes are removed, the old "
                                     "ones go on",
                                     escape_controls(name.get_ref<const std::string&>())));
    return kDone;
}

/// Adds the addresses that a process serves at, each once: those that the daemon holds, or where it
/// does not tell them, those that were declared.
void add_addresses(const json& process, std::vector<ProbeAddress>& into)
{
    for (const char* member : {"addresses", "listen"}) {
        const auto found = process.find(member);
        if (found == process.end() || !found->is_array() || found->empty()) continue;
        for (const json& text : *found) {
            if (!text.is_string()) continue;
            auto address = parse_probe_address(text.get_ref<const std::string&>());
            if (address &&
                std::ranges::find(into, address->text, &ProbeAddress::text) == into.end())
                into.push_back(std::move(*address));
        }
        return;
    }
}

/// Where the apps that are meant are to be asked. Errors: an exit code; it has been said why.
std::expected<ProveTarget, int> find_target(const ReloadOptions& options, Context& context)
{
    ProveTarget target{.addresses = {}, .rate = options.prove_rate};
    if (!options.prove_url.empty()) {
        auto url = parse_probe_url(options.prove_url);
        if (!url) return std::unexpected(context.fail("--prove-url: " + url.error(), kUsage));
        target.path = std::move(url->path);
        target.addresses.push_back(std::move(url->address));
    }
    if (!options.prove_path.empty()) target.path = options.prove_path;
    if (!target.addresses.empty()) return target;
    const auto targets = expand_targets(options.start.targets, context);
    if (!targets) return std::unexpected(targets.error());
    const auto answer =
        context.session.call("describe", {{"targets", *targets}, {"cwd", current_folder()}});
    if (!answer) return std::unexpected(context.fail(answer.error()));
    for (const json& process : answer->value("processes", json::array()))
        add_addresses(process, target.addresses);
    if (target.addresses.empty())
        return std::unexpected(context.fail(
            fmt::format("no address of {} is known: say with --prove-url where to ask",
                        escape_controls(fmt::format("{}", fmt::join(*targets, " "))))));
    return target;
}

void print_report(const ProveLog& log, const json& reload, Context& context)
{
    const ProveReport report = summarize(log);
    if (context.json_output)
        return context.print_json({{"reload", reload}, {"prove", report_json(report, log)}});
    for (const std::string& line : report_lines(report, log))
        report.lost > 0 ? context.error(line) : context.info(line);
}

int run_proven(const ReloadOptions& options, const Words& app_arguments, Context& context)
{
    auto target = find_target(options, context);
    if (!target) return target.error();
    Prover prover{std::move(*target), context.system};
    if (const auto started = prover.start(); !started) return context.fail(started.error());

    Starter starter{options.start, app_arguments, context};
    starter.keep_result();
    starter.observe([&prover](const json& params) { prover.note_progress(params); });
    prover.reload_begins();
    const int code = starter.run_again("reload");
    prover.reload_ends();

    const ProveLog log = prover.finish();
    print_report(log, starter.result(), context);
    return code == kDone && summarize(log).lost > 0 ? kFailed : code;
}

int run_reload(const CLI::App& parser, const ReloadOptions& options, const Words& app_arguments,
               Context& context)
{
    if (options.abort) return run_abort(parser, options, context);
    if (options.prove && options.start.no_wait)
        return context.fail("reload: --prove waits for the reload, so that --no-wait has no "
                            "meaning beside it",
                            kUsage);
    if (options.prove) return run_proven(options, app_arguments, context);
    return Starter{options.start, app_arguments, context}.run_again("reload");
}

/// What can stand in the first line of a request.
std::string check_path(const std::string& path)
{
    const bool good = path.starts_with('/') &&
                      std::ranges::all_of(path, [](char c) { return c > ' ' && c <= '~'; });
    return good ? std::string{} : "must be a path such as /health";
}

} // namespace

void add_reload(CLI::App& parser, Context& context, const Words& app_arguments)
{
    auto options = std::make_shared<ReloadOptions>();
    parser
        .add_option("target", options->start.targets,
                    "Id, name, namespace, /regex/, 'all' or an ecosystem file")
        ->required();
    add_start_options(parser, options->start);
    parser.add_flag("--no-queue", options->start.no_queue,
                    "Fail when the app is being reloaded already, instead of waiting for that");
    parser.add_flag("--abort", options->abort, "End the reload under way and roll it back");
    CLI::Option* prove =
        parser.add_flag("--prove", options->prove, "Ask the app meanwhile and count what is lost");
    parser.add_option("--prove-path", options->prove_path, "What to ask for; by default /")
        ->needs(prove)
        ->check(check_path);
    parser
        .add_option("--prove-url", options->prove_url,
                    "Where to ask, such as http://127.0.0.1:3000/health")
        ->needs(prove);
    parser.add_option("--prove-rate", options->prove_rate, "Requests per second; by default 200")
        ->needs(prove)
        ->check(CLI::Range(1, 10'000));
    parser.callback([options, &parser, &app_arguments, &context] {
        context.exit_code = run_reload(parser, *options, app_arguments, context);
    });
}

} // namespace cluster::cli
