#include "app/http/health.hpp"

#include "ipc/base/version.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace cluster::app {
namespace {

constexpr milliseconds kFresh{500};
/// A check that takes longer counts as failed; its answer is still waited for in the background.
constexpr milliseconds kPatience{1000};

} // namespace

Health::Health(asio::io_context& io, const Service& service, std::optional<int> instance,
               milliseconds started)
    : io_{io}, service_{service}, instance_{instance}, started_{started}
{
}

void Health::add(std::string name, Ask ask)
{
    checks_.push_back({.name = std::move(name), .ask = std::move(ask), .changed{io_}});
}

void Health::add_routes(Router& router)
{
    const Rules rules{.limited = false, .quiet = true};
    for (const char* const path : {"/health", "/health/ready"})
        router.add({.method = http::verb::get,
                    .pattern = path,
                    .handler = [this](Request& request) { return ready(request); },
                    .rules = rules});
    router.add({.method = http::verb::get,
                .pattern = "/health/live",
                .handler = [this](Request& request) { return live(request); },
                .rules = rules});
}

bool Health::is_fresh(const Check& check) const
{
    return check.asked && service_.clock.now() - *check.asked < kFresh;
}

asio::awaitable<bool> Health::well()
{
    co_await refresh();
    co_return std::ranges::all_of(checks_, &Check::up);
}

/// Asks all checks that are not fresh, at the same time, and waits a while for their answers.
asio::awaitable<void> Health::refresh()
{
    for (Check& check : checks_) {
        if (is_fresh(check) || check.asking) continue;
        check.asking = true;
        check.changed.expires_after(kPatience);
        asio::co_spawn(io_, ask(check), [this, &check](const std::exception_ptr& failure) {
            check.asking = false;
            check.asked = service_.clock.now();
            if (failure) check.up = false;
            check.changed.cancel();
        });
    }
    for (Check& check : checks_) {
        if (!check.asking) continue;
        const auto [code] = co_await check.changed.async_wait(asio::as_tuple(asio::use_awaitable));
        if (!code) check.up = false; // the time is over
    }
}

asio::awaitable<void> Health::ask(Check& check)
{
    const milliseconds began = service_.clock.now();
    Finding finding = co_await check.ask();
    check.latency = service_.clock.now() - began;
    if (check.up && !finding.outcome)
        service_.log.warn("a check fails",
                          {{"check", check.name}, {"error", finding.outcome.error().text()}});
    if (!check.up && finding.outcome && check.asked)
        service_.log.info("a check is well again", {{"check", check.name}});
    check.up = finding.outcome.has_value();
    check.detail = std::move(finding.detail);
}

json Health::describe(std::string_view status) const
{
    const milliseconds uptime = service_.clock.now() - started_;
    return {{"status", status},
            {"instance", instance_ ? json(*instance_) : json(nullptr)},
            {"pid", ::getpid()},
            {"uptime_s", static_cast<double>(uptime.count()) / 1000.0},
            {"version", ipc::version()}};
}

json Health::report() const
{
    json checks = json::object();
    for (const Check& check : checks_) {
        json entry{{"status", check.up ? "ok" : "failing"}};
        entry.update(check.detail);
        entry["latency_ms"] = check.latency.count();
        checks[check.name] = std::move(entry);
    }
    return checks;
}

/// Alive as long as it can answer at all: a process that drains must not be killed for it.
asio::awaitable<Response> Health::live(Request&)
{
    co_return Response{.body = describe("ok").dump() + "\n"};
}

/// Whether new requests should be sent here.
asio::awaitable<Response> Health::ready(Request&)
{
    const bool is_well = co_await well();
    const std::string_view status = !service_.ready ? "draining" : is_well ? "ok" : "failing";
    json body = describe(status);
    body["checks"] = report();
    Response response{.body = body.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"};
    if (status != "ok") response.status = http::status::service_unavailable;
    co_return response;
}

} // namespace cluster::app
