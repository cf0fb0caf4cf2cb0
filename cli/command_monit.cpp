// `monit`: the live view of everything, on the whole terminal.
#include "cli/commands.hpp"
#include "cli/monit.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <unistd.h>

#include <utility>

namespace cluster::cli {
namespace {

int run_monit(Context& context)
{
    if (context.json_output)
        return context.fail("monit is for people; `clusterctl jlist` and `clusterctl list --json` "
                            "print the same as JSON",
                            kUsage);
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1)
        return context.fail("monit needs a terminal on stdin and stdout; `clusterctl list` prints "
                            "the processes, `clusterctl logs` their output, `clusterctl jlist` "
                            "the processes for programs");
    // Says, before the screen is taken, why there is no daemon; starts one as other commands do.
    if (const auto pong = context.session.call("ping", json::object()); !pong)
        return context.fail(pong.error());
    auto signals = hold_monit_signals();
    auto terminal = Terminal::open(context.out.style().colour);
    if (!terminal) return context.fail(terminal.error());
    return Monit{std::move(*terminal), std::move(signals), context}.run();
}

} // namespace

void add_monit(CLI::App& parser, Context& context, const Words&)
{
    parser.callback([&context] { context.exit_code = run_monit(context); });
}

} // namespace cluster::cli
