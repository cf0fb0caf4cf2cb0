#include "app/metrics_route.hpp"

#include "app/accounts/token_authenticator.hpp"
#include "ipc/base/secret.hpp"

#include <utility>

namespace cluster::app {
namespace {

constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

class MetricsRoute {
public:
    MetricsRoute(Registry& registry, std::string token, std::string instance)
        : registry_{registry}, token_{std::move(token)}, instance_{std::move(instance)}
    {
    }

    [[nodiscard]] Response answer(const Request& request) const
    {
        if (!token_.empty() &&
            !ipc::equal_in_constant_time(bearer_token(request.header(http::field::authorization)),
                                         token_))
            return unauthorized("UNAUTHORIZED",
                                "The token of the metrics is needed (METRICS_TOKEN)");
        const std::string* const scope = find(request.query, "scope");
        if (scope != nullptr && *scope != "host" && *scope != "instance")
            return problem(http::status::bad_request, "VALIDATION",
                           "scope must be host or instance");
        const bool alone = scope != nullptr && *scope == "instance";
        Response response;
        response.body = alone ? registry_.instance_text(instance_) : registry_.host_text();
        response.content_type = kContentType;
        return response;
    }

private:
    Registry& registry_;
    std::string token_;
    std::string instance_;
};

asio::awaitable<Response> scrape(const MetricsRoute& route, const Request& request)
{
    co_return route.answer(request);
}

} // namespace

void add_metrics_route(Router& router, Registry& registry, const MetricsOptions& options,
                       std::string instance)
{
    const auto route = std::make_shared<MetricsRoute>(registry, options.token, std::move(instance));
    router.add({.method = http::verb::get,
                .pattern = "/metrics",
                .handler = [route](Request& request) { return scrape(*route, request); },
                .rules = {.caller = false, .limited = false, .quiet = true}});
}

} // namespace cluster::app
