#include "cli/interpreters.hpp"

#include "cli/capture.hpp"
#include "cli/paths.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

using Chosen = std::expected<Interpreter, std::string>;

struct ByExtension {
    std::string_view extension;
    std::array<std::string_view, 2> programs; ///< the first one in PATH; "" ends the list
};
constexpr ByExtension kByExtension[] = {
    {".sh", {"bash", "sh"}}, {".py", {"python3", "python"}},
    {".rb", {"ruby"}},       {".php", {"php"}},
    {".pl", {"perl"}},       {".js", {"node"}},
    {".cjs", {"node"}},      {".mjs", {"node"}},
    {".coffee", {"coffee"}}, {".ls", {"lsc"}},
    {".tsx", {"bun"}},
};

struct NodeVersion {
    int major = 0;
    int minor = 0;
    auto operator<=>(const NodeVersion&) const = default;
};

/// "v22.18.0\n" as 22 and 18.
std::optional<NodeVersion> parse_version(std::string_view text)
{
    NodeVersion version;
    if (!text.starts_with('v')) return std::nullopt;
    const char* const end = text.data() + text.size();
    const auto major = std::from_chars(text.data() + 1, end, version.major);
    if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return std::nullopt;
    const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
    return minor.ec == std::errc{} ? std::optional{version} : std::nullopt;
}

/// bun, else a node that strips types: by itself from 22.18 on, by an option from 22.6 on (PM2).
Chosen typescript(const std::string& script, FileContext& context)
{
    if (auto bun = find_in_path("bun", context.environment, context.cwd))
        return Interpreter{std::move(*bun), {}};
    const std::string need = fmt::format("{} needs bun or node 22.6 in PATH", script);
    const auto node = find_in_path("node", context.environment, context.cwd);
    if (!node) return std::unexpected(need);
    const auto answer = capture(context.system, context.clock,
                                {.program = *node,
                                 .args = {"--version"},
                                 .environment = context.environment,
                                 .cwd = context.cwd});
    const auto version = answer ? parse_version(answer->output) : std::nullopt;
    if (!version || *version < NodeVersion{22, 6})
        return std::unexpected(fmt::format("{}, got node {}.{}", need, version ? version->major : 0,
                                           version ? version->minor : 0));
    if (*version < NodeVersion{22, 18}) return Interpreter{*node, {"--experimental-strip-types"}};
    return Interpreter{*node, {}};
}

Chosen first_in_path(const ByExtension& row, const std::string& script, FileContext& context)
{
    for (const std::string_view program : row.programs)
        if (auto found = find_in_path(program, context.environment, context.cwd))
            return Interpreter{std::move(*found), {}};
    return std::unexpected(fmt::format("{} needs {}, which is not in PATH; interpreter can name "
                                       "another program",
                                       script, row.programs[0]));
}

/// Programs run themselves; text without "#!" would need an interpreter that nobody named.
Chosen by_content(const std::string& script, FileContext& context)
{
    std::array<char, 512> head{};
    auto file = context.system.open(script, O_RDONLY | O_NONBLOCK, 0);
    if (!file && is_executable(script)) return Interpreter{"none", {}}; // executable, not readable
    const auto size = file ? context.system.read(file->get(), head.data(), head.size())
                           : ipc::Result<std::size_t>{std::unexpected(file.error())};
    if (!size)
        return std::unexpected(
            fmt::format("cannot read {}: {}", script, ipc::errno_text(size.error().code.value())));
    const std::string_view start{head.data(), *size};
    const bool runs_itself = start.starts_with("#!") || start.contains('\0');
    if (!runs_itself)
        return std::unexpected(fmt::format(
            "interpreter must be given for {}, which has no known extension and no \"#!\" line",
            script));
    if (!is_executable(script))
        return std::unexpected(
            fmt::format("{} is not executable: use chmod +x, or give an interpreter", script));
    return Interpreter{"none", {}};
}

} // namespace

Chosen choose_interpreter(const std::string& script, FileContext& context)
{
    const std::string extension = std::filesystem::path{script}.extension().string();
    if (extension == ".ts") return typescript(script, context);
    const auto* const row = std::ranges::find(kByExtension, extension, &ByExtension::extension);
    if (row == std::end(kByExtension)) return by_content(script, context);
    return first_in_path(*row, script, context);
}

} // namespace cluster::cli
