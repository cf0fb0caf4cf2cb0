#include "app/metrics/http_figures.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace cluster::app {
namespace {

constexpr std::string_view kNoRoute = "(none)";
constexpr std::string_view kOtherMethod = "(other)";

/// Those that have a counter of their own; the last one stands for all others.
constexpr std::uint16_t kStatusCodes[] = {101, 200, 201, 202, 204, 206, 302, 304, 307, 400, 401,
                                          403, 404, 405, 408, 409, 410, 411, 412, 413, 414, 415,
                                          416, 417, 422, 426, 429, 431, 500, 501, 503, 0};

std::size_t place_of(unsigned status)
{
    const auto* const found = std::ranges::find(kStatusCodes, status);
    const auto* const last = std::prev(std::end(kStatusCodes));
    return static_cast<std::size_t>(std::min(found, last) - std::begin(kStatusCodes));
}

std::string key_of(std::string_view method, std::string_view route)
{
    std::string key;
    key.reserve(method.size() + 1 + route.size());
    return key.append(method).append(1, ' ').append(route);
}

} // namespace

HttpFigures::HttpFigures(Metrics& metrics, std::span<const RouteName> routes)
    : connections_{metrics.gauge("http_connections_active", "Open connections.", {})},
      in_flight_{
          metrics.gauge("http_requests_in_flight", "Requests whose answer is not yet sent.", {})},
      web_sockets_{metrics.gauge("websocket_connections_active",
                                 "Connections that speak WebSocket now.", {})},
      client_errors_{metrics.counter("http_errors_total", "Answers of 400 and above, by class.",
                                     {{"class", "4xx"}})},
      server_errors_{metrics.counter("http_errors_total", "Answers of 400 and above, by class.",
                                     {{"class", "5xx"}})},
      limited_{metrics.counter("rate_limited_total", "Requests that were answered with 429.", {})}
{
    static_assert(std::size(kStatusCodes) == kStatuses);
    for (const auto& [method, route] : routes) {
        declare(metrics, method, route);
        if (method == "GET") declare(metrics, "HEAD", route);
    }
    declare(metrics, kOtherMethod, kNoRoute);
}

void HttpFigures::declare(Metrics& metrics, std::string_view method, std::string_view route)
{
    Row row;
    for (std::size_t i = 0; i < kStatuses; ++i) {
        const std::string status = kStatusCodes[i] == 0 ? "other" : std::to_string(kStatusCodes[i]);
        row.by_status[i] = &metrics.rare_counter(
            "http_requests_total", "Answered requests by route, method and status.",
            {{"route", std::string{route}}, {"method", std::string{method}}, {"status", status}});
    }
    row.seconds =
        &metrics.histogram("http_request_duration_seconds",
                           "From the header of a request to the end of its answer, by route.",
                           {{"route", std::string{route}}});
    rows_.emplace(key_of(method, route), row);
}

void HttpFigures::count(const Row& row, unsigned status)
{
    row.by_status[place_of(status)]->add();
    if (status >= 500)
        server_errors_.add();
    else if (status >= 400)
        client_errors_.add();
}

void HttpFigures::ended(std::string_view method, std::string_view route, unsigned status,
                        double seconds)
{
    in_flight_.add(-1);
    auto row = rows_.find(key_of(method, route));
    if (row == rows_.end()) row = rows_.find(key_of(kOtherMethod, kNoRoute));
    count(row->second, status);
    row->second.seconds->observe(seconds);
}

void HttpFigures::refused(unsigned status)
{
    count(rows_.find(key_of(kOtherMethod, kNoRoute))->second, status);
}

} // namespace cluster::app
