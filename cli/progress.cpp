#include "cli/progress.hpp"

#include "cli/aftermath.hpp"
#include "cli/interrupt.hpp"
#include "cli/process_view.hpp"

#include <fmt/format.h>

#include <utility>

namespace cluster::cli {
namespace {

constexpr const char* kInterruptedNote =
    "Interrupted; the daemon goes on with what it was asked. See `clusterctl list`.";

std::string process_label(const json& params)
{
    const json process = params.value("process", json::object());
    return fmt::format("[{}]({})", member_text(process, "name"), member_text(process, "id"));
}

/// ✓ or ✗.
std::string sign(const json& params, const Style& style)
{
    const json process = params.value("process", json::object());
    const bool good = params.value("failed", json(false)) != true &&
                      member_text(params, "phase") != "failed" &&
                      member_text(process, "status") != "errored";
    const char* text = good ? (style.utf8 ? "✓" : "ok") : (style.utf8 ? "✗" : "failed");
    return paint(text, good ? Colour::green : Colour::red, style);
}

std::string seconds(std::int64_t ms)
{
    return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
}

/// " (12 connections closed)"; "" without a note.
std::string note_of(const json& params)
{
    const std::string note = member_text(params, "note");
    return note.empty() ? note : fmt::format(" ({})", note);
}

/// An empty one says that the line is the last of its process: only the sign is told.
std::string phase_of(const json& params)
{
    const std::string phase = member_text(params, "phase");
    return phase == "done" || phase == "failed" ? std::string{} : phase;
}

} // namespace

Progress::Progress(Context& context, Following following)
    : context_{context}, following_{std::move(following)}
{
}

Progress::~Progress()
{
    clear();
}

void Progress::clear()
{
    if (std::exchange(shown_, false)) context_.out.write("\r\x1b[K");
}

void Progress::on_notification(std::string_view method, const json& params)
{
    if (method == "progress" && following_.on_progress) following_.on_progress(params);
    if (context_.json_output || context_.silent) return;
    if (method == "notice") {
        clear();
        context_.info(member_text(params, "text"));
    } else if (method == "progress") {
        on_step(params);
    }
    context_.out.flush();
}

void Progress::on_step(const json& params)
{
    if (!context_.out.terminal()) return context_.info(progress_text(params, context_.out.style()));
    latest_ = params;
    received_ = context_.clock.now();
    draw();
}

void Progress::on_idle()
{
    if (!latest_.is_object() || phase_of(latest_).empty()) return;
    draw();
    context_.out.flush();
}

/// One process alone that has no phases is over before anyone could read.
void Progress::draw()
{
    if (phase_of(latest_).empty() && member_number(latest_, "total") <= 1) return;
    const Style& style = context_.out.style();
    const std::string line = progress_line(following_.verb, latest_,
                                           context_.clock.now() - received_, {.utf8 = style.utf8});
    context_.out.write("\r\x1b[K" + fit(line, style.width - 1, style.utf8));
    shown_ = true;
}

std::string progress_text(const json& params, const Style& style)
{
    const std::string phase = phase_of(params);
    const std::string what = phase.empty() ? sign(params, style) : phase;
    const std::string after =
        params.contains("elapsed_ms")
            ? fmt::format(" after {}", seconds(member_number(params, "elapsed_ms")))
            : std::string{};
    return fmt::format("{} {}{}{}", process_label(params), what, after, note_of(params));
}

std::string progress_line(std::string_view verb, const json& params, ipc::milliseconds waited,
                          const Style& style)
{
    const std::string phase = phase_of(params);
    std::string line = fmt::format("{} ", verb);
    if (const auto total = member_number(params, "total"); total > 0)
        line += fmt::format("{}/{} ", member_number(params, "done"), total);
    line += process_label(params) + ' ' + (phase.empty() ? sign(params, style) : phase);
    if (!phase.empty() && params.contains("elapsed_ms"))
        line += ' ' + seconds(member_number(params, "elapsed_ms") + waited.count());
    return line + note_of(params);
}

ipc::RpcResult<json> call_with_progress(Context& context, std::string_view method,
                                        const json& params, const Following& following)
{
    const InterruptNote note{fmt::format(
        "\n[clusterctl] {}\n",
        following.interrupted.empty() ? kInterruptedNote : following.interrupted.c_str())};
    Progress progress{context, following};
    ipc::OnIdle on_idle;
    if (context.out.terminal()) on_idle = [&] { progress.on_idle(); };
    const Change change = change_of(method, params, context.clock.wall_ms());
    auto answer = context.session.call(
        method, params,
        [&](std::string_view notification, const json& body) {
            progress.on_notification(notification, body);
        },
        on_idle);
    if (answer || !context.session.broke()) return answer;
    progress.clear();
    return find_out(context, change);
}

} // namespace cluster::cli
