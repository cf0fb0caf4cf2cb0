#include "app/http/router.hpp"

#include "app/http/target.hpp"
#include "ipc/base/check.hpp"

#include <algorithm>
#include <utility>

namespace cluster::app {
namespace {

/// Takes the next segment off the front of `rest`, which begins with '/'.
std::string_view next_segment(std::string_view& rest)
{
    rest.remove_prefix(1);
    const std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    return segment;
}

bool is_param(std::string_view segment)
{
    return segment.starts_with('{') && segment.ends_with('}');
}

/// Whether `path` has the shape of `pattern`. A parameter is a segment that is not empty.
bool fits(std::string_view pattern, std::string_view path)
{
    while (pattern.starts_with('/') && path.starts_with('/')) {
        const std::string_view want = next_segment(pattern);
        const std::string_view got = next_segment(path);
        if (is_param(want) ? got.empty() : want != got) return false;
    }
    return pattern.empty() && path.empty();
}

/// What stands in `path` where `pattern` has braces; nullopt when an escape in it is bad.
std::optional<Pairs> params_of(std::string_view pattern, std::string_view path)
{
    Pairs params;
    while (pattern.starts_with('/') && path.starts_with('/')) {
        const std::string_view want = next_segment(pattern);
        const std::string_view got = next_segment(path);
        if (!is_param(want)) continue;
        auto value = percent_decoded(got);
        if (!value) return std::nullopt;
        params.emplace_back(want.substr(1, want.size() - 2), std::move(*value));
    }
    return params;
}

std::string_view name_of(http::verb method)
{
    const auto name = http::to_string(method);
    return {name.data(), name.size()};
}

void add_method(std::string& allow, std::string_view name)
{
    if (!allow.empty()) allow += ", ";
    allow += name;
}

} // namespace

void Router::add(Route route)
{
    CLUSTER_CHECK(route.pattern.starts_with('/'), "a pattern begins with a slash");
    const auto same = [&](const Route& other) {
        return other.method == route.method && other.pattern == route.pattern;
    };
    CLUSTER_CHECK(std::ranges::none_of(routes_, same), "two handlers for one route");
    routes_.push_back(std::move(route));
}

Router::Match Router::match(http::verb method, std::string_view path) const
{
    const http::verb wanted = method == http::verb::head ? http::verb::get : method;
    Match match;
    const Route* found = nullptr;
    for (const Route& route : routes_) {
        if (!fits(route.pattern, path)) continue;
        add_method(match.allow, name_of(route.method));
        if (route.method == http::verb::get) add_method(match.allow, "HEAD");
        // Words before parameters: "/api/jobs/mine" is not the job "mine".
        const bool better =
            found == nullptr || (found->pattern.contains('{') && !route.pattern.contains('{'));
        if (route.method == wanted && better) found = &route;
    }
    if (match.allow.empty()) return match;
    match.what = Match::What::wrong_method;
    if (found == nullptr) return match;
    auto params = params_of(found->pattern, path);
    if (!params) return {};
    return {.what = Match::What::found, .route = found, .params = std::move(*params)};
}

} // namespace cluster::app
