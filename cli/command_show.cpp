// Commands that only look: list, jlist, prettylist, describe, env, pid, id.
#include "cli/commands.hpp"
#include "cli/describe_view.hpp"
#include "cli/inspect.hpp"
#include "cli/process_view.hpp"
#include "ipc/wire/units.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include <memory>
#include <optional>

namespace cluster::cli {
namespace {

struct ListOptions {
    std::string sort = "name";
    bool mini = false;
};

/// The processes of an answer; an empty array when it has none.
json processes_of(json& answer)
{
    const auto found = answer.find("processes");
    return found != answer.end() && found->is_array() ? std::move(*found) : json::array();
}

int run_list(const ListOptions& options, Context& context)
{
    const auto order = parse_sort(options.sort);
    if (!order) return context.fail(order.error(), kUsage);
    // Only `describe` knows the files that the mini list shows.
    auto answer = options.mini
                      ? context.session.call("describe", {{"targets", json::array({"all"})}})
                      : context.session.call("list", json::object());
    if (!answer && options.mini && answer.error().code == ipc::kNotFound) answer = json::object();
    if (!answer) return context.fail(answer.error());

    json processes = processes_of(*answer);
    sort_processes(processes, *order);
    if (context.json_output) {
        context.print_json({{"processes", std::move(processes)}});
    } else if (!context.silent) {
        const auto now = context.clock.wall_ms();
        const auto view = options.mini ? process_mini_list : process_table;
        context.out.write(view(processes, now, context.out.style()));
    }
    return kDone;
}

int run_jlist(Context& context)
{
    const auto text = context.session.call_text("jlist", json::object());
    if (!text) return context.fail(text.error());
    context.out.write(*text);
    return kDone;
}

int run_prettylist(Context& context)
{
    const auto text = context.session.call_text("jlist", json::object());
    if (!text) return context.fail(text.error());
    // Ordered: the keys stand in the order in which the daemon wrote them, as with PM2.
    const auto list = nlohmann::ordered_json::parse(*text, nullptr, false);
    if (list.is_discarded()) return context.fail("the daemon's list is not JSON");
    context.out.write(context.json_output ? *text : inspect(list));
    return kDone;
}

int run_describe(const Words& targets, Context& context)
{
    auto answer =
        context.session.call("describe", {{"targets", targets}, {"cwd", current_folder()}});
    if (!answer) return context.fail(answer.error());
    json processes = processes_of(*answer);
    if (context.json_output) {
        context.print_json({{"processes", std::move(processes)}});
        return kDone;
    }
    const ipc::Environment local = current_environment();
    for (const json& process : processes)
        context.out.write(
            describe_text(process, context.clock.wall_ms(), local, context.out.style()));
    return kDone;
}

int run_env(const std::string& id_text, Context& context)
{
    const auto id = ipc::parse_whole(id_text);
    if (!id || *id < 0)
        return context.fail(fmt::format("env takes the id of a process as `clusterctl list` shows "
                                        "it, got '{}'",
                                        escape_controls(id_text)),
                            kUsage);
    const auto answer = context.session.call("env", {{"id", *id}});
    if (!answer) return context.fail(answer.error());
    if (context.json_output) {
        context.print_json(*answer);
        return kDone;
    }
    const bool raw = !context.out.terminal();
    const json env = answer->value("env", json::object());
    for (const auto& [key, value] : env.items()) {
        const std::string text = value.is_string() ? value.get<std::string>() : ipc::dump(value);
        context.out.write(
            raw ? fmt::format("{}: {}\n", key, text)
                : fmt::format("{}: {}\n", escape_controls(key), escape_controls(text)));
    }
    return kDone;
}

/// Processes that `target` names, or all; none when there is no such target.
ipc::RpcResult<json> find_processes(const std::optional<std::string>& target, Context& context)
{
    json params = json::object();
    if (target) params["targets"] = json::array({*target});
    auto answer = context.session.call("list", params);
    if (answer) return processes_of(*answer);
    if (answer.error().code == ipc::kNotFound) return json::array();
    return answer;
}

int run_pid(const std::string& target, Context& context)
{
    const auto processes =
        find_processes(target.empty() ? std::nullopt : std::optional{target}, context);
    if (!processes) return context.fail(processes.error());
    if (context.json_output) {
        json shown = json::array();
        for (const json& process : *processes)
            shown.push_back({{"id", process.value("id", json{})},
                             {"name", process.value("name", json{})},
                             {"pid", process.value("pid", json{})}});
        context.print_json({{"processes", std::move(shown)}});
        return kDone;
    }
    if (processes->empty()) context.out.write("\n");
    for (const json& process : *processes)
        context.out.write(member_text(process, "pid") + '\n');
    return kDone;
}

int run_id(const std::string& target, Context& context)
{
    const auto processes = find_processes(target, context);
    if (!processes) return context.fail(processes.error());
    nlohmann::ordered_json ids = nlohmann::ordered_json::array();
    for (const json& process : *processes)
        ids.push_back(member_number(process, "id"));
    if (context.json_output)
        context.print_json({{"ids", ids}});
    else
        context.out.write(inspect(ids) + '\n');
    return kDone;
}

} // namespace

int show_table(Context& context, int code)
{
    if (context.json_output || context.silent) return code;
    const int listed = run_list({}, context);
    return code != kDone ? code : listed;
}

void add_list(CLI::App& parser, Context& context, const Words&)
{
    auto options = std::make_shared<ListOptions>();
    parser.add_option("--sort", options->sort,
                      "Field, with :asc or :desc: name, namespace, pid, id, cpu, memory, uptime, "
                      "status");
    parser.add_flag("-m,--mini-list", options->mini, "A few lines per process instead of a table");
    parser.callback([options, &context] { context.exit_code = run_list(*options, context); });
}

void add_jlist(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_jlist(context); });
}

void add_prettylist(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_prettylist(context); });
}

void add_describe(CLI::App& parser, Context& context, const Words&)
{
    auto targets = std::make_shared<Words>();
    parser.add_option("target", *targets, "Id, name, namespace, /regex/ or 'all'")->required();
    parser.callback([targets, &context] { context.exit_code = run_describe(*targets, context); });
}

void add_env(CLI::App& parser, Context& context, const Words&)
{
    auto id = std::make_shared<std::string>();
    parser.add_option("id", *id, "Id of the process")->required();
    parser.callback([id, &context] { context.exit_code = run_env(*id, context); });
}

void add_pid(CLI::App& parser, Context& context, const Words&)
{
    auto target = std::make_shared<std::string>();
    parser.add_option("target", *target, "Name, id or namespace; all processes without it");
    parser.callback([target, &context] { context.exit_code = run_pid(*target, context); });
}

void add_id(CLI::App& parser, Context& context, const Words&)
{
    auto target = std::make_shared<std::string>();
    parser.add_option("name", *target, "Name of the app")->required();
    parser.callback([target, &context] { context.exit_code = run_id(*target, context); });
}

} // namespace cluster::cli
