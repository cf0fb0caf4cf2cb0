// What a server of HTTP counts about its requests and connections.
#pragma once

#include "app/metrics/metrics.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cluster::app {

class HttpFigures {
public:
    /// A method and a pattern of the router: {"GET", "/api/jobs/{id}"}.
    using RouteName = std::pair<std::string, std::string>;

    /// Declares all; before the registry is sealed, when the routes are known.
    HttpFigures(Metrics& metrics, std::span<const RouteName> routes);

    void connected() { connections_.add(1); }
    void disconnected() { connections_.add(-1); }
    /// The header of a request is here.
    void began() { in_flight_.add(1); }
    /// Its answer is sent or given up. `method` as it stands in the request, `route` the pattern
    /// that it matched ("" none). A HEAD counts with the route of its GET, under its own name.
    void ended(std::string_view method, std::string_view route, unsigned status, double seconds);
    /// A request that cannot be understood, or came too slowly: no route, no time.
    void refused(unsigned status);
    /// A request was answered with 429. (It is counted by `ended` as well.)
    void rate_limited() { limited_.add(); }
    /// WebSocket connections, as their role sees them.
    [[nodiscard]] Gauge& web_sockets() { return web_sockets_; }

private:
    static constexpr std::size_t kStatuses = 32;
    struct Row {
        std::array<Counter*, kStatuses> by_status{};
        Histogram* seconds = nullptr;
    };

    void declare(Metrics& metrics, std::string_view method, std::string_view route);
    void count(const Row& row, unsigned status);

    Gauge& connections_;
    Gauge& in_flight_;
    Gauge& web_sockets_;
    Counter& client_errors_;
    Counter& server_errors_;
    Counter& limited_;
    std::unordered_map<std::string, Row> rows_; ///< by method, blank, route
};

} // namespace cluster::app
