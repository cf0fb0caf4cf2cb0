#include "app/routes.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <unistd.h>

namespace cluster::app {
namespace {

asio::awaitable<Response> greet(std::optional<int> instance)
{
    const json body{{"message", "hello from clusterapp"},
                    {"instance", instance ? json(*instance) : json(nullptr)},
                    {"pid", ::getpid()}};
    co_return Response{.body = body.dump() + "\n"};
}

/// Answers after `ms` milliseconds: shows that a stop waits for what is in flight.
asio::awaitable<Response> slow(const Request& request)
{
    const std::string* const text = find(request.query, "ms");
    const auto ms = text == nullptr ? std::nullopt : ipc::parse_number<milliseconds::rep>(*text);
    if (!ms || *ms < 0 || *ms > kMaxDelay.count())
        co_return problem(http::status::bad_request, "BAD_REQUEST",
                          fmt::format("ms must be an integer from 0 to {}, got \"{}\"",
                                      kMaxDelay.count(), text == nullptr ? "" : *text));
    const json body{{"slept_ms", *ms}, {"pid", ::getpid()}};
    co_return Response{.body = body.dump() + "\n", .delay = milliseconds{*ms}};
}

} // namespace

void add_basic_routes(Router& router, std::optional<int> instance)
{
    const Rules rules{.limited = false};
    router.add({.method = http::verb::get,
                .pattern = "/",
                .handler = [instance](Request&) { return greet(instance); },
                .rules = rules});
    router.add({.method = http::verb::get,
                .pattern = "/slow",
                .handler = [](Request& request) { return slow(request); },
                .rules = rules});
}

} // namespace cluster::app
