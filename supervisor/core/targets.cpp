#include "supervisor/core/targets.hpp"

#include "ipc/wire/units.hpp"

#include <algorithm>
#include <expected>
#include <filesystem>
#include <regex>

namespace cluster::supervisor {
namespace {

/// A pattern comes from a stranger, and the matcher's work and stack grow with it.
constexpr std::size_t kMaxPattern = 256;

bool is_pattern(std::string_view target)
{
    return target.size() > 2 && target.front() == '/' && target.back() == '/';
}

std::expected<std::regex, std::string> compile(std::string_view target)
{
    const std::string pattern{target.substr(1, target.size() - 2)};
    if (pattern.size() > kMaxPattern)
        return std::unexpected("the pattern must have at most " + std::to_string(kMaxPattern) +
                               " characters, got " + std::to_string(pattern.size()));
    try {
        return std::regex{pattern, std::regex::ECMAScript};
    } catch (const std::regex_error& error) {
        return std::unexpected(std::string{target} +
                               " must be a regular expression between slashes: " + error.what());
    }
}

template <class Wanted>
std::vector<int> ids_where(const std::vector<TargetView>& workers, Wanted wanted)
{
    std::vector<int> ids;
    for (const TargetView& worker : workers)
        if (wanted(worker)) ids.push_back(worker.id);
    std::ranges::sort(ids);
    return ids;
}

std::vector<int> matching(std::string_view target, const std::vector<TargetView>& workers)
{
    const auto pattern = compile(target);
    if (!pattern) return {};
    try {
        return ids_where(workers, [&](const TargetView& worker) {
            return std::regex_search(worker.name.begin(), worker.name.end(), *pattern);
        });
    } catch (const std::regex_error&) {
        return {}; // the matcher gave up: too complex for a name this long
    }
}

std::string absolute_path(std::string_view cwd, std::string_view path)
{
    return (std::filesystem::path{cwd} / path).lexically_normal().string();
}

} // namespace

std::vector<int> resolve_target(std::string_view target, std::string_view cwd,
                                const std::vector<TargetView>& workers)
{
    if (target == "all") return ids_where(workers, [](const TargetView&) { return true; });
    if (is_pattern(target)) return matching(target, workers);

    auto ids = ids_where(workers, [&](const TargetView& w) { return w.name == target; });
    const auto id = ipc::parse_whole(target);
    if (ids.empty() && !id && !target.empty()) {
        const std::string script = absolute_path(cwd, target);
        ids = ids_where(workers, [&](const TargetView& w) { return w.script == script; });
    }
    if (ids.empty())
        ids = ids_where(workers, [&](const TargetView& w) { return w.name_space == target; });
    if (ids.empty() && id)
        ids = ids_where(workers, [&](const TargetView& w) { return w.id == *id; });
    return ids;
}

std::string target_fault(std::string_view target)
{
    if (!is_pattern(target)) return {};
    const auto pattern = compile(target);
    return pattern ? std::string{} : pattern.error();
}

} // namespace cluster::supervisor
