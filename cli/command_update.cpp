// update: another clusterd takes over from the one that runs, under running workers.
#include "cli/commands.hpp"
#include "cli/daemon_starter.hpp"
#include "cli/interrupt.hpp"
#include "cli/paths.hpp"
#include "cli/process_view.hpp"
#include "cli/update.hpp"
#include "ipc/base/home.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace cluster::cli {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

/// A new daemon that does not get up is given up after 10 s, and the old one has to come back.
constexpr milliseconds kOutcomeLimit = 30s;
/// A daemon that was to be replaced and was killed instead has no outcome; one that has, tells it
/// as soon as it serves.
constexpr milliseconds kOutcomeComes = 1s;
constexpr int kPauseMs = 10;

ipc::RpcResult<Running> running_now(Context& context)
{
    const auto answer = context.session.call("list", json::object());
    if (!answer) return std::unexpected(answer.error());
    return running_in(answer->value("processes", json::array()));
}

/// Of the answer of `ping`: null while none has ended.
json outcome_in(const json& pong)
{
    return pong.value("upgrade", json{});
}

/// The outcome of the upgrade that `begun` answers: the one after number `earlier`, which `asked`
/// knew (a manager's pid).
ipc::RpcResult<json> wait_for_outcome(std::int64_t earlier, std::int64_t asked, const json& begun,
                                      Context& context)
{
    const milliseconds deadline = context.clock.now() + kOutcomeLimit;
    std::optional<milliseconds> other_since;
    while (true) {
        const auto pong = context.session.call("ping", json::object());
        const json outcome = pong ? outcome_in(*pong) : json{};
        if (member_number(outcome, "serial") > earlier) return outcome;
        const milliseconds now = context.clock.now();
        const json about = context.session.about();
        if (pong && member_number(about, "pid") != asked) {
            if (!other_since) other_since = now;
            if (now >= *other_since + kOutcomeComes)
                return outcome_without_word(begun, member_text(about, "version"));
        }
        if (now >= deadline) {
            if (!pong) return pong;
            return std::unexpected(ipc::RpcError{
                .code = ipc::kFailed,
                .message = fmt::format("nothing is known of the upgrade after {} s; see {}",
                                       kOutcomeLimit.count() / 1000,
                                       ipc::HomePaths{context.session.home()}.log),
                .data = nullptr});
        }
        ::poll(nullptr, 0, kPauseMs);
    }
}

int print_report(const UpdateReport& report, Context& context)
{
    if (context.json_output)
        context.print_json(update_json(report));
    else if (report.ok)
        context.info(update_text(report));
    else
        context.error(update_text(report));
    if (!report.changed.empty())
        context.warn(
            fmt::format("the processes of {} are not those of before: they ended meanwhile",
                        fmt::join(report.changed, ", ")));
    return report.ok ? kDone : kFailed;
}

/// `params` name the program; without one it is the one that runs.
int run_update(const json& params, Context& context)
{
    if (const auto client = ipc::Client::connect(context.session.home());
        !client && means_no_daemon(client.error())) {
        context.info("No daemon is running; the next command starts one");
        if (context.json_output) context.print_json(nullptr);
        return kDone;
    }
    const auto before = running_now(context);
    if (!before) return context.fail(before.error());
    const auto earlier = context.session.call("ping", json::object());
    if (!earlier) return context.fail(earlier.error());
    const std::int64_t asked = member_number(context.session.about(), "pid");

    const InterruptNote note{"\n[clusterctl] Interrupted; the daemon goes on with the update.\n"};
    const auto begun = context.session.call("upgrade", params);
    // The old daemon's connection ends when the new one takes over.
    if (!begun && !context.session.broke()) return context.fail(begun.error());
    const auto outcome = wait_for_outcome(member_number(outcome_in(*earlier), "serial"), asked,
                                          begun.value_or(json{}), context);
    if (!outcome) return context.fail(outcome.error());
    const auto after = running_now(context);
    if (!after) return context.fail(after.error());
    return print_report(report_update(*outcome, *before, *after), context);
}

int run_update_to(const std::string& given, Context& context)
{
    const std::string binary = given.empty()
                                   ? find_clusterd()
                                   : absolute_path(given, current_folder(), current_environment());
    if (binary.empty())
        return context.fail("clusterd was found neither beside clusterctl nor in PATH; say which "
                            "one: clusterctl update /path/to/clusterd");
    if (!is_executable(binary))
        return context.fail(
            fmt::format("{} is no program that can be run", escape_controls(binary)));
    return run_update({{"binary", binary}}, context);
}

} // namespace

void add_update(CLI::App& parser, Context& context, const Words&)
{
    auto binary = std::make_shared<std::string>();
    parser.add_option("binary", *binary,
                      "The clusterd to change to; by default the one beside clusterctl, else the "
                      "one in PATH");
    parser.callback([binary, &context] { context.exit_code = run_update_to(*binary, context); });
}

void add_daemon_reexec(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_update(json::object(), context); });
}

} // namespace cluster::cli
