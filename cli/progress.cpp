#include "cli/progress.hpp"

#include "cli/interrupt.hpp"
#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <utility>

namespace cluster::cli {

Progress::Progress(Context& context, std::string verb) : context_{context}, verb_{std::move(verb)}
{
}

Progress::~Progress()
{
    if (shown_) context_.out.write("\r\x1b[K");
}

void Progress::on_notification(std::string_view method, const json& params)
{
    if (method != "progress" || context_.json_output || context_.silent) return;
    const Style& style = context_.out.style();
    if (!context_.out.terminal()) {
        context_.info(progress_text(params, style));
    } else if (member_number(params, "total") > 1) {
        const std::string line = fmt::format("{} {}/{} {}", verb_, member_number(params, "done"),
                                             member_number(params, "total"),
                                             progress_text(params, {.utf8 = style.utf8}));
        context_.out.write("\r\x1b[K" + fit(line, style.width - 1, style.utf8));
        shown_ = true;
    }
    context_.out.flush();
}

std::string progress_text(const json& params, const Style& style)
{
    const json process = params.value("process", json::object());
    const bool good =
        params.value("failed", json(false)) != true && member_text(process, "status") != "errored";
    const char* sign = good ? (style.utf8 ? "✓" : "ok") : (style.utf8 ? "✗" : "failed");
    return fmt::format("[{}]({}) {}", member_text(process, "name"), member_text(process, "id"),
                       paint(sign, good ? Colour::green : Colour::red, style));
}

ipc::RpcResult<json> call_with_progress(Context& context, std::string_view method,
                                        const json& params, const std::string& verb)
{
    const InterruptNote note{
        "\n[clusterctl] Interrupted; the daemon goes on with what it was asked. "
        "See `clusterctl list`.\n"};
    Progress progress{context, verb};
    return context.session.call(method, params,
                                [&](std::string_view notification, const json& body) {
                                    progress.on_notification(notification, body);
                                });
}

} // namespace cluster::cli
