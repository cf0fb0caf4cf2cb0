#include "cli/context.hpp"

#include "cli/process_view.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

namespace cluster::cli {

void Context::info(std::string_view text)
{
    if (json_output || silent) return;
    out.write(message_line(Level::info, text, out.style()));
}

void Context::warn(std::string_view text)
{
    out.flush(); // what was said before it stands before it
    err.write(message_line(Level::warning, text, err.style()));
    err.flush();
}

void Context::error(std::string_view text)
{
    out.flush();
    err.write(message_line(Level::error, text, err.style()));
    err.flush();
}

int Context::fail(const ipc::RpcError& failure)
{
    if (json_output) {
        json body = {{"code", failure.code}, {"message", failure.message}};
        if (!failure.data.is_null()) body["data"] = failure.data;
        out.flush();
        err.write(ipc::dump({{"error", std::move(body)}}) + '\n');
        err.flush();
    } else {
        const bool listed = failure.data.is_object() && failure.data.contains("failures");
        const std::string failures =
            listed ? failures_text(failure.data["failures"], err.style()) : std::string{};
        out.flush();
        // The message repeats the first failure.
        err.write(failures.empty()
                      ? message_line(Level::error, escape_controls(failure.message), err.style())
                      : failures);
        err.flush();
    }
    return failure.code == ipc::kUnreachable ? kNoDaemon : kFailed;
}

int Context::fail(std::string_view message, int code)
{
    if (!json_output) {
        error(message);
        return code;
    }
    out.flush();
    err.write(ipc::dump({{"error", {{"message", message}}}}) + '\n');
    err.flush();
    return code;
}

void Context::print_json(const json& value)
{
    out.write(ipc::dump(value));
    out.write("\n");
}

ipc::Environment current_environment()
{
    ipc::Environment variables;
    for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const auto equals = text.find('=');
        if (equals == text.npos || equals == 0) continue;
        variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

std::string current_folder()
{
    std::error_code gone;
    const auto folder = std::filesystem::current_path(gone);
    return gone ? std::string{} : folder.string();
}

std::string failures_text(const json& failures, const Style& style)
{
    std::string text;
    if (!failures.is_array()) return text;
    for (const json& failure : failures) {
        text +=
            message_line(Level::error,
                         fmt::format("[{}]({}) {}", member_text(failure, "name"),
                                     member_text(failure, "id"), member_text(failure, "reason")),
                         style);
        const auto lines = failure.find("stderr");
        if (lines == failure.end() || !lines->is_array()) continue;
        for (const json& line : *lines)
            if (line.is_string())
                text += "    " + escape_controls(line.get_ref<const std::string&>(), true) + '\n';
    }
    return text;
}

} // namespace cluster::cli
