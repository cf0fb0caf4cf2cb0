#include "app/routes.hpp"

#include "ipc/base/text.hpp"
#include "ipc/base/version.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>

namespace cluster::app {
namespace {

using json = nlohmann::ordered_json;

std::string text_of(const json& value)
{
    // `replace`: dump() throws on a string that is not UTF-8, and a target is a stranger's.
    return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

json describe(std::string_view state, const Status& status)
{
    return {{"status", state},
            {"instance", status.instance ? json(*status.instance) : json(nullptr)},
            {"pid", status.pid},
            {"uptime_s", static_cast<double>(status.uptime.count()) / 1000.0},
            {"version", ipc::version()}};
}

Reply greet(std::string_view, const Status& status)
{
    return {.body = text_of({{"message", "hello from clusterapp"},
                             {"instance", status.instance ? json(*status.instance) : json(nullptr)},
                             {"pid", status.pid}})};
}

/// Alive as long as it can answer at all: a process that drains must not be killed for it.
Reply live(std::string_view, const Status& status)
{
    return {.body = text_of(describe("ok", status))};
}

/// Whether new requests should be sent here.
Reply ready(std::string_view, const Status& status)
{
    if (!status.draining) return {.body = text_of(describe("ok", status))};
    return {.status = http::status::service_unavailable,
            .body = text_of(describe("draining", status))};
}

/// The value of `name` in "a=1&b=2"; empty when it is not there.
std::string_view parameter(std::string_view query, std::string_view name)
{
    while (!query.empty()) {
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view pair = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        const std::size_t equals = pair.find('=');
        if (equals != std::string_view::npos && pair.substr(0, equals) == name)
            return pair.substr(equals + 1);
    }
    return {};
}

/// Answers after `ms` milliseconds: shows that a stop waits for what is in flight.
Reply slow(std::string_view query, const Status& status)
{
    const std::string_view text = parameter(query, "ms");
    const auto ms = ipc::parse_number<milliseconds::rep>(text);
    if (!ms || *ms < 0 || *ms > kMaxDelay.count())
        return refusal(
            http::status::bad_request,
            fmt::format("ms must be an integer from 0 to {}, got \"{}\"", kMaxDelay.count(), text));
    return {.body = text_of({{"slept_ms", *ms}, {"pid", status.pid}}), .delay = milliseconds{*ms}};
}

struct Route {
    std::string_view path;
    Reply (*reply)(std::string_view query, const Status& status);
};
constexpr Route kRoutes[] = {
    {"/", greet},    {"/health", ready}, {"/health/live", live}, {"/health/ready", ready},
    {"/slow", slow},
};

/// "http://host:1/path?q" → "/path?q"; anything else stays.
std::string_view origin_form(std::string_view target)
{
    const std::size_t scheme = target.find("://");
    if (target.starts_with('/') || scheme == std::string_view::npos) return target;
    const std::size_t path = target.find('/', scheme + 3);
    return path == std::string_view::npos ? "/" : target.substr(path);
}

} // namespace

Reply answer(http::verb method, std::string_view target, const Status& status)
{
    const std::string_view origin = origin_form(target);
    const std::size_t question = std::min(origin.find('?'), origin.size());
    const std::string_view path = origin.substr(0, question);
    const std::string_view query = origin.substr(std::min(question + 1, origin.size()));

    const auto* const route = std::ranges::find(kRoutes, path, &Route::path);
    if (route == std::end(kRoutes)) return refusal(http::status::not_found, "no such path");
    if (method == http::verb::unknown)
        return refusal(http::status::not_implemented, "no such method");
    if (method != http::verb::get && method != http::verb::head) {
        Reply reply = refusal(http::status::method_not_allowed, "only GET and HEAD are allowed");
        reply.allow = "GET, HEAD";
        return reply;
    }
    return route->reply(query, status);
}

Reply refusal(http::status status, std::string_view why)
{
    return {.status = status, .body = text_of({{"error", why}})};
}

} // namespace cluster::app
